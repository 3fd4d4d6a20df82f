/*
 * A disk that goes bad under a running process: preloaded (LD_PRELOAD), it stands between the process and the C library's
 * file calls. A filesystem that a kernel turned read-only because of an error refuses writes to files that are open already;
 * no unprivileged user can make a kernel do that, so the refusal is made here.
 *
 * FAULTY_DISK_FOLDER  files below it are on the faulty disk
 * FAULTY_DISK_SWITCH  a file that says how the disk is now: absent or empty: fine; "readonly"; "slow <milliseconds a sync>"
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int is_below(const char *path) {
    const char *folder = getenv("FAULTY_DISK_FOLDER");
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_on_disk(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

/* Reads the switch by system calls of its own, so that errno and our own wrappers are left alone. */
static void read_switch(char *said, size_t size) {
    said[0] = 0;
    const char *path = getenv("FAULTY_DISK_SWITCH");
    int before = errno;
    long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        long length = syscall(SYS_read, fd, said, size - 1);
        said[length > 0 ? length : 0] = 0;
        syscall(SYS_close, fd);
    }
    errno = before;
}

static int is_read_only(void) {
    char said[64];
    read_switch(said, sizeof said);
    return strncmp(said, "readonly", 8) == 0;
}

static void be_slow(int fd) {
    char said[64];
    read_switch(said, sizeof said);
    if (strncmp(said, "slow ", 5) == 0 && is_on_disk(fd)) {
        /* In steps, so that a repair is felt at once. */
        for (int left = atoi(said + 5); left > 0 && strncmp(said, "slow ", 5) == 0; left -= 10) {
            usleep(10000);
            read_switch(said, sizeof said);
        }
    }
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define REFUSE_FD(fd) if (is_read_only() && is_on_disk(fd)) { errno = EROFS; return -1; }
#define REFUSE_PATH(path) if (is_read_only() && is_below(path)) { errno = EROFS; return -1; }
#define WRITES (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)

ssize_t write(int fd, const void *bytes, size_t count) { REFUSE_FD(fd) return REAL(write)(fd, bytes, count); }
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { REFUSE_FD(fd) return REAL(pwrite)(fd, bytes, count, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) { REFUSE_FD(fd) return REAL(pwrite64)(fd, bytes, count, at); }
int ftruncate(int fd, off_t length) { REFUSE_FD(fd) return REAL(ftruncate)(fd, length); }
int ftruncate64(int fd, off64_t length) { REFUSE_FD(fd) return REAL(ftruncate64)(fd, length); }
int fsync(int fd) { be_slow(fd); return REAL(fsync)(fd); }
int fdatasync(int fd) { be_slow(fd); return REAL(fdatasync)(fd); }
int unlink(const char *path) { REFUSE_PATH(path) return REAL(unlink)(path); }
int mkdir(const char *path, mode_t mode) { REFUSE_PATH(path) return REAL(mkdir)(path, mode); }
int rename(const char *from, const char *to) { REFUSE_PATH(to) return REAL(rename)(from, to); }

static int has_mode(int flags) { return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE; }

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = has_mode(flags) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (flags & WRITES) REFUSE_PATH(path)
    return REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = has_mode(flags) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (flags & WRITES) REFUSE_PATH(path)
    return REAL(open64)(path, flags, mode);
}

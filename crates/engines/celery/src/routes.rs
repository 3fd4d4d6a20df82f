//! Which queue the tasks of a name go to, learned from those whose queue was seen.
//!
//! Worker events do not tell the queue, and a task that is taken at once is never seen waiting. Applications route by
//! name almost always; a name that was seen in two queues is no longer trusted to tell.

use std::num::NonZeroUsize;

use lru::LruCache;

/// Names remembered.
const MAX_NAMES: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Queues by task name.
pub(crate) struct Routes(LruCache<String, Route>);

enum Route {
    Always(String),
    Varies,
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self(LruCache::new(MAX_NAMES))
    }

    /// A task of this name was seen in this queue.
    pub(crate) fn learn(&mut self, name: &str, queue: &str) {
        match self.0.get_mut(name) {
            None => {
                self.0.push(name.to_owned(), Route::Always(queue.to_owned()));
            }
            Some(Route::Always(known)) if known == queue => {}
            Some(route) => *route = Route::Varies,
        }
    }

    /// The only queue that tasks of this name were seen in.
    pub(crate) fn queue(&self, name: &str) -> Option<&str> {
        match self.0.peek(name)? {
            Route::Always(queue) => Some(queue),
            Route::Varies => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_queue_until_it_is_seen_in_another() {
        let mut routes = Routes::new();
        assert_eq!(routes.queue("a"), None);
        routes.learn("a", "q");
        routes.learn("a", "q");
        assert_eq!(routes.queue("a"), Some("q"));
        routes.learn("a", "other");
        assert_eq!(routes.queue("a"), None);
    }
}

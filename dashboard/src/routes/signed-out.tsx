import { CopyButton } from '../components/ui/copy-button'

const COMMAND = 'taskplane signin-link'

export function SignedOut() {
  return (
    <main className="flex min-h-full items-center justify-center p-4">
      <div className="w-full max-w-md rounded-lg border border-line bg-surface p-6">
        <h1 className="mb-2 text-lg font-semibold">You are signed out</h1>
        <p className="mb-3 text-sm text-muted">To sign in, run this on the machine where the brain runs, and open the link that it prints:</p>
        <div className="flex items-center justify-between gap-2 rounded-md bg-raised px-3 py-1.5 font-mono text-sm">
          {COMMAND}
          <CopyButton text={COMMAND} label="Copy the command" />
        </div>
        <p className="mt-3 text-sm text-muted">The link works once and for a short time. This page opens again where you were.</p>
      </div>
    </main>
  )
}

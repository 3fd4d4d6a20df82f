import { useMutation, useQueryClient } from '@tanstack/react-query'
import { User } from 'lucide-react'
import { useState } from 'react'
import { explain } from '../api/client'
import { sessionQuery, signOut } from '../api/queries'
import { Button } from '../components/ui/button'
import { Dialog, DialogActions } from '../components/ui/dialog'
import { Segments } from '../components/ui/segments'
import { Ago } from '../components/ui/time'
import { useSession } from '../lib/session'
import { setZone, useZone } from '../lib/zone'

const ZONES = [
  { value: 'local', text: 'Your zone' },
  { value: 'utc', text: 'UTC' },
] as const

export function AccountMenu() {
  const [open, setOpen] = useState(false)
  const session = useSession()
  return (
    <>
      <Button look="quiet" aria-label="Account and settings" title={`${session.principal} · ${session.role} · project ${session.project}`} onClick={() => setOpen(true)}>
        <User aria-hidden size={15} />
      </Button>
      {open && <Account onClose={() => setOpen(false)} />}
    </>
  )
}

function Account({ onClose }: { onClose: () => void }) {
  const session = useSession()
  const zone = useZone()
  const client = useQueryClient()
  const leave = useMutation({ mutationFn: signOut, onSuccess: () => client.refetchQueries(sessionQuery) })
  return (
    <Dialog title="Account and settings" onClose={onClose}>
      <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 text-sm">
        <dt className="text-muted">Signed in as</dt>
        <dd>
          {session.principal} ({session.role})
        </dd>
        <dt className="text-muted">Project</dt>
        <dd>{session.project}</dd>
        <dt className="text-muted">Session ends</dt>
        <dd>{session.expires_at == null ? 'when you sign out' : <Ago at={session.expires_at} />}</dd>
        <dt className="text-muted">Brain</dt>
        <dd>Taskplane {session.version}</dd>
        <dt className="self-center text-muted">Times in</dt>
        <dd>
          <Segments label="Time zone" options={ZONES} value={zone} onChange={setZone} />
        </dd>
      </dl>
      {leave.isError && <p role="alert" className="mt-2 text-sm text-bad">{explain(leave.error)}</p>}
      <DialogActions>
        <Button onClick={() => leave.mutate()}>Sign out</Button>
        <Button look="primary" onClick={onClose}>
          Close
        </Button>
      </DialogActions>
    </Dialog>
  )
}

import type { ErrorComponentProps } from '@tanstack/react-router'
import { Button } from '../components/ui/button'
import { Empty } from '../components/ui/notice'

/** Also shown when a part of the page cannot be fetched, which happens after the brain was upgraded under an open tab. */
export function PageCrashed({ error }: ErrorComponentProps) {
  return (
    <Empty title="This page could not be shown">
      <p className="mb-3 font-mono text-xs">{error instanceof Error ? error.message : String(error)}</p>
      <p className="mb-3">If Taskplane was upgraded while this tab was open, loading the page again is enough.</p>
      <Button onClick={() => window.location.reload()}>Load the page again</Button>
    </Empty>
  )
}

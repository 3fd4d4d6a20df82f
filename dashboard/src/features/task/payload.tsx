import { CopyButton } from '../../components/ui/copy-button'
import { JsonView } from '../../components/ui/json-view'
import { Panel } from '../../components/ui/panel'

export function Payload({ title, value, missing }: { title: string; value: unknown; missing: string }) {
  const empty = value == null || (Array.isArray(value) && value.length === 0) || (typeof value === 'object' && Object.keys(value).length === 0)
  return (
    <Panel title={title} aside={empty ? undefined : <CopyButton text={JSON.stringify(value, null, 2)} label={`Copy: ${title}`} />}>
      {value == null ? <p className="text-sm text-muted">{missing}</p> : empty ? <p className="text-sm text-muted">None.</p> : <JsonView value={value} />}
    </Panel>
  )
}

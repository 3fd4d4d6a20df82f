import { useMemo } from 'react'
import { CopyButton } from '../../components/ui/copy-button'
import { plural } from '../../lib/format'
import { groupFrames, parseTraceback, type Frame } from './traceback'

function FrameView({ frame }: { frame: Frame }) {
  return (
    <div className={frame.library ? 'text-muted' : 'border-l-2 border-bad pl-2'}>
      <div>{frame.place}</div>
      {frame.code.map((line, index) => (
        <div key={index} className="pl-4 whitespace-pre">
          {line}
        </div>
      ))}
    </div>
  )
}

/** Own code apart from library frames, which are folded. */
export function TracebackView({ traceback }: { traceback: string }) {
  const groups = useMemo(() => groupFrames(parseTraceback(traceback)), [traceback])
  return (
    <div className="relative rounded-md bg-raised">
      <div className="absolute top-1 right-1 bg-raised">
        <CopyButton text={traceback} label="Copy the traceback" />
      </div>
      <div tabIndex={0} role="group" aria-label="Traceback" className="max-h-96 overflow-auto p-3 pr-20 font-mono text-xs leading-relaxed">
        {groups.map((group, index) =>
          'text' in group ? (
            <div key={index} className="whitespace-pre-wrap">
              {group.text}
            </div>
          ) : 'own' in group ? (
            <FrameView key={index} frame={group.own} />
          ) : (
            <details key={index}>
              <summary className="text-muted">{plural(group.library.length, 'library frame')}</summary>
              {group.library.map((frame, at) => (
                <FrameView key={at} frame={frame} />
              ))}
            </details>
          ),
        )}
      </div>
    </div>
  )
}

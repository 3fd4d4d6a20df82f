export interface Frame {
  kind: 'frame'
  place: string
  code: string[]
  library: boolean
}

interface TextLine {
  kind: 'text'
  text: string
}

const FRAME = /^\s*File "([^"]+)", line (\d+)(?:, in (.+))?$/
const LIBRARY = /site-packages|dist-packages|\/lib\/python|<frozen /

/** Splits a Python traceback into its frames, and what stands between them. */
export function parseTraceback(traceback: string): (Frame | TextLine)[] {
  const parts: (Frame | TextLine)[] = []
  let frame: Frame | null = null
  for (const line of traceback.replace(/\n+$/, '').split('\n')) {
    const match = FRAME.exec(line)
    if (match) {
      frame = { kind: 'frame', place: line.trim(), code: [], library: LIBRARY.test(match[1] ?? '') }
      parts.push(frame)
    } else if (frame && /^\s{4}/.test(line)) {
      frame.code.push(line.replace(/^\s{4}/, ''))
    } else {
      frame = null
      parts.push({ kind: 'text', text: line })
    }
  }
  return parts
}

export type Group = { library: Frame[] } | { own: Frame } | { text: string }

/** Puts neighbouring library frames together, so that own code stands out. */
export function groupFrames(parts: readonly (Frame | TextLine)[]): Group[] {
  const groups: Group[] = []
  for (const part of parts) {
    const last = groups.at(-1)
    if (part.kind === 'text') groups.push({ text: part.text })
    else if (!part.library) groups.push({ own: part })
    else if (last && 'library' in last) last.library.push(part)
    else groups.push({ library: [part] })
  }
  return groups
}

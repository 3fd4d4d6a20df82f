/** The colour of a line or bar, beside its name. */
export function Swatch({ colour }: { colour: string }) {
  return <span aria-hidden className="inline-block size-2 rounded-xs" style={{ background: `var(${colour})` }} />
}

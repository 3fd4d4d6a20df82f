interface Redaction {
  label: string
  why: string
}

const HOST = 'It never left its host.'

const reasons: Record<string, string> = {
  redacted: `The key or a rule says that this value is secret. ${HOST}`,
  email: `This was an e-mail address. ${HOST}`,
  jwt: `This was a JSON web token. ${HOST}`,
  card: `This was a payment card number. ${HOST}`,
  'url-credentials': `This was an address with a user name and password. ${HOST}`,
  'private-key': `This was a private key. ${HOST}`,
  bearer: `This was a bearer token. ${HOST}`,
}

/** What a marker left by the agent's redaction stands for, or null for an ordinary string. */
export function redaction(value: string): Redaction | null {
  const inside = /^<([a-z][a-z0-9_ -]*(?:[ =][^<>]*)?)>$/i.exec(value)?.[1]
  if (inside === undefined) return null
  const sized = /^(str|bytes) len=(\d+)$/.exec(inside)
  if (sized) {
    const unit = sized[1] === 'bytes' ? 'bytes' : 'characters'
    return { label: value, why: `A value of ${sized[2]} ${unit}. Text longer than 16 characters is hidden unless the agent is told otherwise. ${HOST}` }
  }
  if (/cut|truncated|more|depth/i.test(inside)) return { label: value, why: 'The value was larger than the agent sends, and was cut here.' }
  return { label: value, why: reasons[inside] ?? `The agent replaced this value (${inside}) before it left its host.` }
}

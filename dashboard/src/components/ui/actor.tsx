const SESSION = /^session:[0-9a-f-]{30}([0-9a-f]{6})$/i

/** Who did something. A session has no name but its id: its end tells sessions apart, the whole is on hover. */
export function Actor({ name }: { name: string }) {
  const end = SESSION.exec(name)?.[1]
  if (end === undefined) return <span className="break-words">{name}</span>
  return (
    <span title={name} className="whitespace-nowrap">
      session …{end}
    </span>
  )
}

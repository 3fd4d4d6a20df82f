import { expect, it } from 'vitest'
import { AT, command } from '../../test-fixtures'
import { previewed, sourceWords } from './retry-preview'

const asked = (fields: Parameters<typeof command>[0]) => command({ cmd: 'preview_retry', created_at: AT, ...fields })

it('reads what would be sent', () => {
  const told = { source: 'message', lossless: true, name: 'a.b', queue: 'q', eta: null, notes: ['its callbacks are kept'], args_redacted: ['<email>'], kwargs_redacted: { n: 1 } }
  expect(previewed(asked({ status: 'succeeded', result: { previews: { t1: told }, failed: {} } }), 't1')).toEqual({
    can: true,
    preview: { source: 'message', lossless: true, name: 'a.b', queue: 'q', eta: null, notes: ['its callbacks are kept'], args: ['<email>'], kwargs: { n: 1 } },
  })
})

it('reads why not, of the task and of the command', () => {
  const why = { error: 'no_original_payload', message: 'nowhere' }
  expect(previewed(asked({ status: 'succeeded', result: { previews: {}, failed: { t1: why } } }), 't1')).toEqual({ can: false, code: 'no_original_payload', message: 'nowhere' })
  expect(previewed(asked({ status: 'failed', error: 'unsupported_command', message: 'too old' }), 't1')).toEqual({ can: false, code: 'unsupported_command', message: 'too old' })
  expect(previewed(asked({ status: 'succeeded', result: {} }), 't1')).toMatchObject({ can: false })
})

it('waits while there is no answer', () => expect(previewed(asked({ status: 'sent' }), 't1')).toBeNull())

it.each(['message', 'payload_store', 'result', 'worker', 'events', 'supplied'])('has words for arguments from %s', (source) => expect(sourceWords(source)).not.toContain('was not said'))

it('does not invent a source', () => expect(sourceWords('tea leaves')).toContain('was not said'))

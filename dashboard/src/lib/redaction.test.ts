import { expect, it } from 'vitest'
import { redaction } from './redaction'

it('explains markers', () => {
  expect(redaction('<email>')?.why).toMatch(/e-mail address/)
  expect(redaction('<str len=24>')?.why).toMatch(/24 characters/)
  expect(redaction('<bytes len=9>')?.why).toMatch(/9 bytes/)
  expect(redaction('<aws-key>')?.why).toMatch(/aws-key/)
  expect(redaction('<truncated>')?.why).toMatch(/cut/)
})

it('leaves ordinary text alone', () => {
  for (const text of ['hello', '<b>bold</b>', 'a <email> inside', '<', '<>', '< 3>']) expect(redaction(text)).toBeNull()
})

import { describe, expect, it } from 'vitest'
import { commentsInComposition } from '../../steps/import/compose.ts'

const gateway = (environment: string, more: string) =>
  `services:\n  openclaw-gateway:\n    image: openclaw\n    environment:\n      ${environment}\n${more}`
const gone = (variable: string, name: string) =>
  `# ${variable} is in the secret store of this deployment (${name})`

describe('a Compose file that has to be written anew', () => {
  const flow = (more: string) => `services: { a: { environment: { A_TOKEN: a-value } } }\n${more}`
  const written = (text: string) =>
    commentsInComposition(text, new Map([[text.indexOf('a-value'), { name: 'a_token', rotationId: 'id-1' }]]))

  it.each(['0440', '022', '1e3', '12345678901234567890', '+1', '0x1F'])(
    'is left alone when %s would come out as another text',
    number => {
      expect(written(flow(`x: ${number}\n`))).toBeUndefined()
      expect(written(flow(`${number}: x\n`))).toBeUndefined()
    },
  )

  it.each(['yes', '12:34', '"0440"', "'022'", '~', 'True', '1.0', '2026-01-01', '440', '0o17'])(
    'keeps %s as it is spelled',
    text => {
      expect(written(flow(`x: ${text}\n`))).toMatch(new RegExp(`^x: ${text.replace('.', '\\.')}$`, 'm'))
    },
  )

  it('keeps every byte beside an entry with a line of its own', () => {
    const text = gateway('A_TOKEN: a-value', 'x: [0440, 022, 1e3, 12345678901234567890, yes, 0o17, 12:34]\n')
    expect(written(text)).toBe(
      text.replace('A_TOKEN: a-value', gone('A_TOKEN', 'a_token')).replace('environment:', 'environment: {}'),
    )
  })
})

import { describe, expect, it } from 'vitest'
import { render } from '../../src/deployment/render.ts'
import { pointerOf, repointed } from '../../src/gateway/pointer.ts'
import { gatewayPolicy } from '../../src/gateway/policy.ts'
import { ANSWERS, thrown } from './support.ts'

const OLD = '20261001t000000-0a0a0a0a'
const KEY = '20261002t000000-0b0b0b0b'
const NEW = '20261123t014000-1a2b3c4d'
const policy = gatewayPolicy({ ...ANSWERS, providers: [{ id: 'openai' }] }, [
  { name: 'gateway_token', rotationId: OLD },
  { name: 'openai_api_key', rotationId: KEY },
])
const TEXT = render('openclaw.json.hbs', { ...policy, proxied: false, closed: true }, 'json', policy)
const next = { name: 'gateway_token', rotationId: NEW }

const refused = async (text: string) => {
  const error = await thrown(() => repointed(text, next))
  return Object.fromEntries(Object.entries(error).filter(([key]) => ['code', 'exit'].includes(key)))
}
const UNKNOWN = { code: 'pointer_unknown', exit: 3 }

describe('the pointer to a secret', () => {
  it('is the file that openclaw.json names below the secrets folder', () => {
    expect(pointerOf(TEXT, 'gateway_token')).toBe(`gateway_token.${OLD}`)
    expect(pointerOf(TEXT, 'openai_api_key')).toBe(`openai_api_key.${KEY}`)
  })

  it('is none for a secret that is not named, that has no path, or whose file lies elsewhere', () => {
    expect(pointerOf(TEXT, 'telegram_bot_token')).toBeUndefined()
    expect(pointerOf(TEXT, 'default')).toBeUndefined()
    expect(pointerOf(TEXT.replaceAll('/run/secrets/', '/run/elsewhere/'), 'gateway_token')).toBeUndefined()
    expect(pointerOf(TEXT.replaceAll('/run/secrets/', '/run/secrets-2/'), 'gateway_token')).toBeUndefined()
  })

  it.each([
    ['nothing', ''],
    ['no JSON', '{ "secrets": '],
    ['JSON5', TEXT.replace('"secrets"', 'secrets')],
    ['no providers', '{ "secrets": {} }'],
    ['a list', '[]'],
  ])('cannot be told from %s', async (_, text) => {
    expect(await thrown(() => pointerOf(text, 'gateway_token'))).toMatchObject(UNKNOWN)
  })

  it('does not quote what it could not read: somebody may have put a secret into it', async () => {
    const error = await thrown(() => pointerOf('{ "token": "sk-proj-very-secret", ', 'gateway_token'))
    expect(JSON.stringify([error.message, error.stack, error])).not.toContain('sk-proj')
  })
})

describe('another pointer', () => {
  it('changes the one path, and not a byte besides', () => {
    const text = repointed(TEXT, next)
    expect(pointerOf(text, 'gateway_token')).toBe(`gateway_token.${NEW}`)
    expect(pointerOf(text, 'openai_api_key')).toBe(`openai_api_key.${KEY}`)
    expect(text.replace(NEW, OLD)).toBe(TEXT)
  })

  it('leaves what somebody has edited as it is, comments, blanks and line ends included', () => {
    const edited = TEXT.replace('{\n', '{\r\n  // Mine.\n\n\t"mine": { "a":1 ,"b": [ ] },\n').concat('\n\n')
    expect(repointed(edited, next).replace(NEW, OLD)).toBe(edited)
  })

  it('is found where the section was written in another way', () => {
    const section = JSON.stringify({ secrets: policy.secrets }, undefined, 4)
    expect(repointed(section, next)).toBe(section.replace(OLD, NEW))
  })

  it('that it has already changes nothing, and back again is what it was', () => {
    expect(repointed(TEXT, { ...next, rotationId: OLD })).toBe(TEXT)
    expect(repointed(repointed(TEXT, next), { ...next, rotationId: OLD })).toBe(TEXT)
  })

  it('is the last of two sections, as for whoever reads JSON', () => {
    const twice = `{ "secrets": ${JSON.stringify(policy.secrets)}, "secrets": { "providers": { "gateway_token": { "path": "/run/secrets/gateway_token.elsewhere" } } } }`
    expect(repointed(twice, next)).toContain(OLD)
    expect(pointerOf(repointed(twice, next), 'gateway_token')).toBe(`gateway_token.${NEW}`)
  })

  it.each([
    ['a value that is text, as a replacement pattern would be', '$&'],
    ['the same, of another kind', '$1$`'],
  ])('is put in as it is: %s', (_, pattern) => {
    expect(repointed(TEXT, { ...next, rotationId: pattern })).toContain(
      `"/run/secrets/gateway_token.${pattern}"`,
    )
  })
})

describe('openclaw.json is left alone', () => {
  it('when it does not name the secret', async () => {
    expect(await refused(TEXT.replaceAll('gateway_token', 'other_token'))).toEqual(UNKNOWN)
  })

  it('when the file is named a second time, by whatever it may be', async () => {
    const file = `"/run/secrets/gateway_token.${OLD}"`
    expect(await refused(TEXT.replace('{\n', `{\n  "mine": ${file},\n`))).toEqual(UNKNOWN)
    expect(await refused(TEXT.replace('{\n', `{\n  // once ${file}\n`))).toEqual(UNKNOWN)
  })

  it('when the path is written so that it is not found as text', async () => {
    expect(
      await refused(TEXT.replace(`/run/secrets/gateway_token.${OLD}`, `/run/secrets\\/gateway_token.${OLD}`)),
    ).toEqual(UNKNOWN)
  })
})

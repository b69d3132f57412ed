import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { credentialsIn, isCredentialName } from '../../steps/verify/credentials.ts'

describe('a variable that holds a credential', () => {
  it.each([
    ...['OPENCLAW_GATEWAY_TOKEN', 'token', 'OPENAI_API_KEY', 'MYAPIKEY', 'DB_PASSWORD', 'MYSQL_PASSWD'],
    ...['CLIENT_SECRET', 'AWS_CREDENTIALS', 'SSH_PRIVATE_KEY', 'PrivateKey', 'SECRETS', 'API_KEYS'],
  ])('is known by its name: %s', name => {
    expect(isCredentialName(name)).toBe(true)
    expect(credentialsIn({ [name]: 'x' })).toEqual([name])
  })

  it.each([
    ...['PATH', 'HOME', 'TOKENIZER', 'TOKEN_LIMIT', 'KEYBOARD', 'MAX_TOKENS_PER_DAY', 'NODE_OPTIONS'],
    ...['SECRETARY', 'PUBLIC_KEY', 'PASSWORD_MIN_LENGTH'],
  ])('is not everything that sounds like one: %s', name => {
    expect(isCredentialName(name)).toBe(false)
    expect(credentialsIn({ [name]: 'x' })).toEqual([])
  })

  it.each([
    ...['sk-proj-x', 'sk_live_x', 'ghp_x', 'github_pat_x', 'glpat-x', 'xoxb-x', 'xoxp-x', 'xoxa-x'],
    ...['AIzaSy', 'AKIAIO', 'hvs.x', 'ops_eyJ', 'eyJhbGciOi'],
  ])('is known by how its value begins, whatever its name: %s', value => {
    expect(credentialsIn({ HARMLESS: value })).toEqual(['HARMLESS'])
  })

  it('is none where the value says where one is', () => {
    expect(credentialsIn({ TOKEN: '/run/secrets/token', API_KEY: './key', DB_PASSWORD: '../x' })).toEqual([])
    expect(credentialsIn({ TOKEN_FILE: '/run/secrets/token' })).toEqual([])
  })

  it('that is empty counts where somebody else is going to fill it, and nowhere else', () => {
    expect(credentialsIn({ TOKEN: '', HOME: '' })).toEqual([])
    expect(credentialsIn({ TOKEN: '', HOME: '' }, { empty: true })).toEqual(['TOKEN'])
    expect(credentialsIn({ TOKEN: '${TOKEN}' })).toEqual(['TOKEN'])
  })

  it('is named and never shown', () => {
    const value = fc.string({ minLength: 8 }).filter(text => !/^[/.]/.test(text))
    fc.assert(
      fc.property(value, text => {
        expect(credentialsIn({ ONE: 'x', TOKEN: text })).toEqual(['TOKEN'])
      }),
      { numRuns: 50 },
    )
  })
})

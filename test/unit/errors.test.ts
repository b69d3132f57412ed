import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  Cancelled,
  describeProblem,
  Exit,
  explainWriteError,
  printable,
  ToolError,
  UsageError,
  visible,
} from '../../src/errors.ts'
import { anyText } from './generators.ts'

describe('a problem in words', () => {
  it('names the field, what was given, what is allowed and the flag', () => {
    expect(describeProblem({ field: 'port', given: 'http', allowed: 'a whole number', flag: '--port' })).toBe(
      'port: got "http"; allowed: a whole number; set it with --port',
    )
  })

  it('says missing when nothing was given, and shows an empty text as one', () => {
    expect(describeProblem({ field: 'port', allowed: 'x' })).toBe('port: missing; allowed: x')
    expect(describeProblem({ field: 'port', given: '', allowed: 'x' })).toContain('got ""')
  })

  it('may be what was seen, with what to do about it', () => {
    expect(describeProblem({ field: 'folder', saw: '/x is not empty', allowed: 'Name another one.' })).toBe(
      'folder: /x is not empty. Name another one.',
    )
    expect(describeProblem({ field: 'folder', saw: 'Is it full?', allowed: 'Look.' })).toBe(
      'folder: Is it full? Look.',
    )
  })

  it('keeps foreign text on its line', () => {
    const line = describeProblem({ field: 'name', given: 'a\nname: ok\r\u2028b', allowed: 'x' })
    expect(line).not.toMatch(/[\n\r\u2028]/)
  })
})

describe('foreign text made printable', () => {
  const unseen: Record<string, string> = {
    'an escape sequence': '\u001b[2J',
    'a C1 control': '\u009b31m',
    DEL: '\u007f',
    NUL: '\0',
    'a right-to-left override': '\u202e',
    'an isolate': '\u2066',
    'a zero-width space': '\u200b',
    'a line separator': '\u2028',
    'a byte order mark': '\ufeff',
    'a newline': '\n',
  }
  for (const [what, text] of Object.entries(unseen))
    it(`shows ${what} as an escape`, () => {
      expect(printable(`a${text}b`)).toMatch(/^"[\x20-\x7e]+"$/)
    })

  it('never lets a control, bidi or separator character through, whatever it is given', () => {
    fc.assert(
      fc.property(anyText(120), text => {
        expect(printable(text)).not.toMatch(
          /[\p{Cc}\p{Zl}\p{Zp}\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/u,
        )
      }),
    )
  })

  it('is the text itself when nothing about it is odd', () => {
    expect(printable('Zoë, +49 30 1234')).toBe('"Zoë, +49 30 1234"')
  })

  it('cuts after 80 characters and says how long it was', () => {
    expect(printable('x'.repeat(80))).toBe(`"${'x'.repeat(80)}"`)
    expect(printable('x'.repeat(5000))).toBe(`"${'x'.repeat(80)}… (5000 characters)"`)
  })
})

describe('visible text', () => {
  it('is the text with nothing in it that a terminal would obey or hide', () => {
    expect(visible('a\u001b[2Kb\u202ec\nd')).toBe('a\\u001b[2Kb\\u202ec\\u000ad')
    expect(visible('Zoë "x" \\ y')).toBe('Zoë "x" \\ y')
  })
})

describe('a refusal of the system to write', () => {
  const refusal = (code: string) => Object.assign(new Error(code), { code })
  it.each([
    ['ENOSPC', 'disk_full', 3],
    ['EDQUOT', 'disk_full', 3],
    ['EACCES', 'not_writable', 2],
    ['EPERM', 'not_writable', 2],
    ['EROFS', 'not_writable', 2],
  ])('%s is %s and ends with %i', (system, code, exit) => {
    expect(explainWriteError(refusal(system), '/srv/gw/x')).toMatchObject({
      code,
      exit,
      message: expect.stringContaining('/srv/gw/x'),
    })
  })

  it('of another kind stays what it is', () => {
    for (const error of [refusal('EIO'), new TypeError('x'), 'text', undefined])
      expect(explainWriteError(error, '/x')).toBe(error)
  })
})

describe('an error', () => {
  it('of usage lists every problem, one a line, and ends with 2', () => {
    const error = new UsageError([
      { field: 'port', given: 'x', allowed: 'a number' },
      { field: 'name', allowed: 'a name', flag: '--name' },
    ])
    expect(error.message.split('\n')).toEqual([
      'port: got "x"; allowed: a number',
      'name: missing; allowed: a name; set it with --name',
    ])
    expect(error.exit).toBe(Exit.usage)
  })

  it('of cancelling ends with 130 and says what exists', () => {
    expect(new Cancelled('Nothing was changed.').exit).toBe(130)
    expect(new Cancelled('Nothing was changed.').message).toContain('Nothing was changed.')
  })

  it('keeps its cause, its code and its hint', () => {
    const cause = new Error('inner')
    expect(new ToolError('disk_full', 'm', 'h', Exit.unknown, cause)).toMatchObject({
      code: 'disk_full',
      hint: 'h',
      exit: 3,
      cause,
    })
  })
})

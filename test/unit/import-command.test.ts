import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { generateToken } from '../../src/secret.ts'
import { remaining } from '../../steps/import/context.ts'
import { runInProcess } from './in-process.ts'
import { scratch } from './support.ts'

const OPENAI = `sk-proj-${'a1B2'.repeat(8)}`
const OTHER = generateToken().expose()

const cli = (...args: string[]) => runInProcess(args)

/** A deployment, a set-up made by hand beside it, and the command that brings the secrets of one into the other. */
async function place(files: Record<string, string>) {
  const desk = scratch()
  const [folder, old] = [join(desk, 'my-gateway'), join(desk, 'old')]
  const made = await cli(folder, '--yes', '--no-launch')
  expect(made.code, made.stderr).toBe(0)
  mkdirSync(old)
  for (const [file, text] of Object.entries(files)) writeFileSync(join(old, file), text)
  const text = (file: string) => readFileSync(join(old, file), 'utf8')
  return {
    text,
    importing: (...more: string[]) => cli('store', 'import', '--dir', folder, '--from', old, ...more),
  }
}

const key = { '.env': `OPENAI_API_KEY=${OPENAI}\n` }

describe('the last words and the exit code of an import', () => {
  it('are that all is done, and 0, when no secret is left', async () => {
    const { importing } = await place(key)
    const { code, stderr } = await importing('--yes')
    expect(code, stderr).toBe(0)
    expect(stderr).toContain('The values are in the store')
    expect(stderr).not.toContain('still hold')
    const again = await importing('--yes', '--json')
    expect(again.code).toBe(0)
    expect(JSON.parse(again.stdout)).toMatchObject({ secrets: [], remains: [], moved: false, done: true })
  })

  it('name each place where a value still stands that was imported, and are 1', async () => {
    const { importing, text } = await place({
      '.env': `# OLD=${OPENAI}\nOPENAI_API_KEY=${OPENAI}\n`,
      'notes.txt': `x\n${OPENAI}\n`,
    })
    const { code, stderr, stdout } = await importing('--yes', '--json')
    expect(code).toBe(1)
    expect(text('.env')).toContain('OPENAI_API_KEY is in the secret store')
    expect(stderr).toContain('The values are in the store')
    expect(stderr).toContain('These places still hold a secret: .env:1, notes.txt:2.')
    expect(stdout + stderr).not.toContain(OPENAI)
    const said = JSON.parse(stdout)
    expect(said).toMatchObject({ remains: ['.env:1', 'notes.txt:2'], moved: true, done: false })
    expect(said.remarks).toEqual([
      expect.objectContaining({ file: '.env', line: 1, remains: true }),
      expect.objectContaining({ file: 'notes.txt', line: 2, remains: true }),
    ])
  })

  it('name what stays, and claim nothing more when nothing was moved', async () => {
    const { importing } = await place({ '.env': 'OPENCLAW_GATEWAY_TOKEN=gateway\nDB_PASSWORD=openclaw\n' })
    const { code, stderr } = await importing('--yes')
    expect(code).toBe(1)
    expect(stderr).toContain('These places still hold a secret: .env:1, .env:2.')
    expect(stderr).not.toContain('are in the store')
    expect(stderr).not.toContain('[secret]')
  })

  it('are 1 too when some were moved and others stay', async () => {
    const { importing } = await place({ ...key, 'z.env': `OPENCLAW_GATEWAY_TOKEN=${OTHER}\n` })
    const { code, stderr } = await importing('--yes')
    expect(code).toBe(1)
    expect(stderr).toMatch(/The values are in the store, and out of the places that are named with them/)
    expect(stderr).toContain('These places still hold a secret: z.env:1.')
  })

  it('say before anything is done what would be left', async () => {
    const { importing, text } = await place({ ...key, 'notes.txt': OPENAI })
    const { code, stderr, stdout } = await importing('--dry-run', '--json')
    expect(code).toBe(1)
    expect(stderr).toContain('These places would still hold a secret: notes.txt:1.')
    expect(JSON.parse(stdout)).toMatchObject({ moved: false, done: false })
    expect(text('.env')).toBe(key['.env'])
    expect((await (await place(key)).importing('--dry-run')).code).toBe(0)
  })

  it('count a place once, and a file as a whole where no line is known', () => {
    const remark = { file: 'a', text: 'x', remains: true } as const
    expect(
      remaining({
        remarks: [remark, { ...remark, line: 2 }, { ...remark, line: 2 }, { file: 'b', text: 'y' }],
      }),
    ).toEqual(['a', 'a:2'])
  })
})

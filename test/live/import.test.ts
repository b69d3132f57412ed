/** Plaintext secrets of a set-up that somebody made by hand, brought into the store by the program as a person runs it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cli, fingerprints, IMAGE, sh } from './harness.ts'

const desk = mkdtempSync(resolve(tmpdir(), 'ocs-import-'))
const folder = resolve(desk, 't-import')
const old = resolve(desk, 'old')

/** Values nobody else has, by the name they get in the store. */
const VALUES: Record<string, string> = {
  openai_api_key: `sk-proj-${'a7Qk2'.repeat(9)}`,
  anthropic_api_key: `sk-ant-api03-${'Zx81m'.repeat(9)}`,
  telegram_bot_token: `7123456789:AA${'Hb3tYq9LmNc'.repeat(3)}`,
  discord_bot_token: `MTk4NjIyNDgzNDcx.${'Cl2FMQ'.repeat(7)}`,
}
/** The old gateway's token: strong, but this deployment has one of its own. */
const OLD_TOKEN = 'c4f1a09be27d35588e6b91d0a3f7c264be19d05f8a7c63e2415f09db8c7a6e13'

/** Another service's, which would not start without it. */
const DATABASE_PASSWORD = 'Rk5vTq0bWz8y'

const FILES: Record<string, string> = {
  'openclaw.json': `{
  // made by hand, years ago
  gateway: { mode: 'local', auth: { mode: 'token', token: '${OLD_TOKEN}' } },
  models: {
    providers: {
      openai: { apiKey: '${VALUES.openai_api_key}' },
      anthropic: { apiKey: '\${ANTHROPIC_API_KEY}' }, // as .env has it
    },
  },
  channels: {
    telegram: { enabled: true, botToken: "${VALUES.telegram_bot_token}" },
    discord: { enabled: true, token: { source: 'env', provider: 'default', id: 'DISCORD_BOT_TOKEN' } },
  },
}
`,
  '.env': `# keys
ANTHROPIC_API_KEY="${VALUES.anthropic_api_key}"
DISCORD_BOT_TOKEN=${VALUES.discord_bot_token}
POSTGRES_PASSWORD=${DATABASE_PASSWORD}
TZ=Europe/Berlin
`,
  'docker-compose.yml': `services:
  gateway:
    image: openclaw   # the old one
    environment:
      - OPENAI_API_KEY=${VALUES.openai_api_key}
      - ANTHROPIC_API_KEY
      - DISCORD_BOT_TOKEN=\${DISCORD_BOT_TOKEN:?}
      - TZ=Europe/Berlin
  database:
    image: postgres:16
    environment:
      POSTGRES_PASSWORD: \${POSTGRES_PASSWORD}
`,
}

const read = (name: string) => readFileSync(resolve(old, name), 'utf8')
const everything = () => Object.keys(FILES).map(read).join('\n')
const command = (...more: string[]) => cli(['store', 'import', '--dir', folder, '--from', old, ...more])

beforeAll(async () => {
  const made = await cli([folder, '--yes', '--no-launch'])
  expect(made.code, made.stderr).toBe(0)
  await sh('mkdir', ['-m', '700', old])
  for (const [name, text] of Object.entries(FILES)) writeFileSync(resolve(old, name), text, { mode: 0o644 })
})
afterAll(() => rmSync(desk, { recursive: true, force: true }))

function expectNoValue(text: string, where: string): void {
  for (const [name, value] of [...Object.entries(VALUES), ['the old token', OLD_TOKEN] as const])
    expect(text.includes(value), `${name} in ${where}`).toBe(false)
}

describe('importing what lies about in plain text (credential leakage)', () => {
  it('shows with --dry-run where each secret is, never the value, and changes nothing', async () => {
    const before = [fingerprints(folder), everything()]
    const shown = await command('--dry-run')
    expect(shown.code, shown.stderr).toBe(1)
    for (const line of [
      /openclaw\.json:6 +models\.providers\.openai\.apiKey .*openai_api_key$/m,
      /openclaw\.json:7 +models\.providers\.anthropic\.apiKey .*by ANTHROPIC_API_KEY +anthropic_api_key$/m,
      /openclaw\.json:11 +channels\.telegram\.botToken .*telegram_bot_token$/m,
      /openclaw\.json:12 +channels\.discord\.token .*by DISCORD_BOT_TOKEN +discord_bot_token$/m,
      /\.env:4 +POSTGRES_PASSWORD .*stays: docker-compose\.yml:12 gives it to the service database/m,
      /\.env:2 +ANTHROPIC_API_KEY .*anthropic_api_key$/m,
      /docker-compose\.yml:5 .*OPENAI_API_KEY .*openai_api_key$/m,
      /openclaw\.json:3 +gateway\.auth\.token .*stays: /m,
    ])
      expect(shown.stderr).toMatch(line)
    expectNoValue(shown.stdout + shown.stderr, 'what is shown')
    expect([fingerprints(folder), everything()]).toEqual(before)
  })

  it('asks for consent where nobody can be asked', async () => {
    const refused = await command()
    expect(refused.code).toBe(2)
    expect(refused.stderr).toContain('--yes')
    expect(refused.stderr).toContain('--dry-run')
  })

  it('moves each into the store, puts a reference in its place, and leaves the rest of the files alone', async () => {
    const done = await command('--yes')
    // 1: the old gateway's own token stays where it is, and so does the database's; both are reported.
    expect(done.code, done.stderr).toBe(1)
    expect(done.stderr).toContain('These places still hold a secret: .env:4, openclaw.json:3.')
    expectNoValue(done.stdout + done.stderr, 'what is shown')
    for (const [name, value] of Object.entries(VALUES))
      expect(everything().includes(value), `${name} in a file`).toBe(false)
    expect(read('openclaw.json')).toContain(OLD_TOKEN)
    expect(read('openclaw.json')).toContain('// made by hand, years ago')
    expect(read('openclaw.json')).toMatch(
      /apiKey: \{ ?"?source"?: ?["']file["'], ?"?provider"?: ?["']openai_api_key["']/,
    )
    expect(read('.env')).toMatch(/^# .*openai|^# .*ANTHROPIC_API_KEY.*anthropic_api_key/m)
    expect(read('.env')).toContain('TZ=Europe/Berlin')
    expect(read('docker-compose.yml')).toContain('# the old one')
    expect(read('docker-compose.yml')).toContain('- TZ=Europe/Berlin')
    // What named a variable is gone with the variable, in all three files; what another service needs is not.
    for (const file of ['openclaw.json', 'docker-compose.yml'])
      expect(read(file)).not.toMatch(/^[^#\n]*(ANTHROPIC_API_KEY|DISCORD_BOT_TOKEN)/m)
    expect(read('docker-compose.yml')).toContain('POSTGRES_PASSWORD: ${POSTGRES_PASSWORD}')
    expect(read('.env')).toContain(`POSTGRES_PASSWORD=${DATABASE_PASSWORD}`)
    expect(readdirSync(old).sort()).toEqual(Object.keys(FILES).sort())
  })

  it('has given each a place in the deployment: named, kept, and delivered to the gateway', async () => {
    const check = await cli(['store', 'check', '--dir', folder])
    expect(check.code, check.stderr).toBe(0)
    const again = await cli([folder, '--yes', '--no-launch'])
    expect(again.code, again.stderr).toBe(0)
    const delivered = readdirSync(resolve(folder, 'secrets'))
    for (const [name, value] of Object.entries(VALUES)) {
      expect(check.stdout).toMatch(new RegExp(`^${name} `, 'm'))
      const file = delivered.find(one => one.startsWith(`${name}.`)) ?? ''
      expect(readFileSync(resolve(folder, 'secrets', file), 'utf8')).toBe(value)
    }
    const policy = readFileSync(resolve(folder, 'config/openclaw.json'), 'utf8')
    expect(policy).toContain('"/run/secrets/telegram_bot_token.')
    const proven = await cli([
      'verify',
      '--static',
      '--dir',
      folder,
      '--only',
      'store.*',
      '--only',
      'secrets.*',
    ])
    expect(proven.code, proven.stdout).toBe(0)
  })

  it('is taken by OpenClaw itself: the rewritten file is valid, and its references resolve', async () => {
    const { stdout, stderr } = await sh('docker', [
      ...['run', '--rm', '--network', 'none', '--user', '1000:1000', '--entrypoint', 'sh'],
      ...['--mount', `type=bind,source=${resolve(folder, 'secrets')},target=/run/secrets,readonly`],
      ...['--mount', `type=bind,source=${resolve(old, 'openclaw.json')},target=/old.json,readonly`],
      ...['--tmpfs', '/tmp:mode=1777', '--env', 'HOME=/tmp', IMAGE, '-c'],
      'cp /old.json /tmp/openclaw.json && export OPENCLAW_CONFIG_PATH=/tmp/openclaw.json OPENCLAW_STATE_DIR=/tmp/state && node openclaw.mjs config validate --json; node openclaw.mjs secrets audit --json',
    ])
    expect(stdout, stderr).toMatch(/"valid": ?true/)
    expect(stdout, stderr).toMatch(/"refsChecked": ?[3-9]/)
    expect(stdout, stderr).toMatch(/"unresolvedRefCount": ?0/)
  })

  it('finds nothing more when it is run again', async () => {
    const before = everything()
    const again = await command('--yes')
    expect(again.code).toBe(1)
    expect(again.stderr).toContain('stays: ')
    expect(everything()).toBe(before)
  })
})

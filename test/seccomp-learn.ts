/**
 * `npm run seccomp:learn`: watches which system calls the containers of a deployment make (as root, on a
 * machine that test/live/up has made ready), writes them to seccomp/learned.json with who made them and when, and composes
 * the profile of them. With `--compose` it only composes, which needs neither root nor an engine.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { IMAGE, sh } from './live/harness.ts'
import { BESIDE } from './seccomp-beside.ts'
import { composeProfile, type Learned, learningProfile, readKept, readLearned } from './seccomp-profile.ts'
import { type Seen, Watch } from './seccomp-trace.ts'
import * as work from './seccomp-workload.ts'

const folder = resolve(work.ROOT, 'seccomp')
/** What the learning run denies: made in vain. */
const denied = new Set(readKept(work.ROOT).fallback.flatMap(group => group.calls))
const say = (text: string) => process.stderr.write(`${text}\n`)

if (!process.argv.includes('--compose')) {
  if (process.getuid?.() !== 0) throw new Error('only root may follow other processes: run this as root')
  writeFileSync(resolve(folder, 'learned.json'), printed(await learn()))
}
const profile = composeProfile(readLearned(work.ROOT), readKept(work.ROOT))
writeFileSync(resolve(work.ROOT, 'templates/seccomp-profile.json'), profile)
say('templates/seccomp-profile.json is composed')

async function learn(): Promise<Learned> {
  await work.buildWorkbench()
  const scratch = mkdtempSync(resolve(tmpdir(), 'ocs-learn-'))
  const permissive = resolve(scratch, 'profile.json')
  writeFileSync(permissive, learningProfile(readKept(work.ROOT)))
  const names = ['gateway', 'beside'].map(part => `ocs-learn-${part}-${process.pid}`) as [string, string]
  try {
    const seen = [await watchGateway(names[0], permissive), await watchBeside(names[1], permissive)]
    const { stdout } = await work.must(
      sh('docker', ['run', '--rm', '--entrypoint', 'node', IMAGE, '--version']),
    )
    return merged(seen, { image: IMAGE, node: stdout.trim() })
  } finally {
    for (const name of names) await sh('docker', ['rm', '--force', '--volumes', name])
    rmSync(scratch, { recursive: true, force: true })
  }
}

async function watchGateway(name: string, profile: string): Promise<Seen> {
  const token = 'a'.repeat(64)
  const model = await work.startModel(await work.bridgeAddress())
  try {
    await work.gated(name, work.WORKBENCH, profile, work.GATEWAY)
    await work.furnish(name, work.gatewayConfig(model.url), token)
    const watch = await Watch.of(name, denied)
    watch.phase('boot')
    await work.open(name)
    say(`boot: ${await work.untilReady(name)} ms`)
    for (const act of work.gatewayActs(name, token, model)) {
      watch.phase(act.phase)
      const began = Date.now()
      const { code, stderr } = await act.run()
      say(
        `${act.phase}: ${act.what}: ${code === 0 ? 'yes' : `NO: ${stderr.slice(0, 600)}`} (${Date.now() - began} ms)`,
      )
    }
    for (const [index, result] of model.results.entries())
      say(`  tool call ${index}: ${result.slice(0, 3000)}`)
    watch.phase('stop')
    await work.must(sh('docker', ['stop', '--time', '60', name]))
    return await watch.end()
  } finally {
    model.server.closeAllConnections()
    model.server.close()
  }
}

async function watchBeside(name: string, profile: string): Promise<Seen> {
  await work.gated(name, work.WORKBENCH, profile, ['sleep', '600'])
  const watch = await Watch.of(name, denied)
  await work.open(name)
  for (const { phase, what, script } of BESIDE) {
    watch.phase(phase)
    const { code, stdout, stderr } = await work.inside(name, ['bash', '-ec', script])
    say(`${phase}: ${what}: ${code === 0 ? 'yes' : `NO (${code}): ${stdout}${stderr}`}`)
  }
  watch.phase('stop')
  await work.must(sh('docker', ['stop', '--time', '10', name]))
  return watch.end()
}

function merged(all: readonly Seen[], of: { image: string; node: string }): Learned {
  const together = (part: 'calls' | 'classes') => {
    const result: Record<string, Record<string, string[]>> = {}
    for (const [name, keys] of all.flatMap(seen => [...seen[part]]))
      for (const [key, programs] of keys) {
        const entry = result[name] ?? {}
        result[name] = entry
        entry[key] = [...new Set([...(entry[key] ?? []), ...programs])].sort()
      }
    return result
  }
  return { ...of, calls: together('calls'), arguments: together('classes') }
}

/** One call a line, so that a difference can be read. */
function printed(learned: Learned): string {
  const lines = (record: Record<string, unknown>) =>
    Object.entries(record)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => `    ${JSON.stringify(name)}: ${JSON.stringify(value)}`)
      .join(',\n')
  return `{
  "image": ${JSON.stringify(learned.image)},
  "node": ${JSON.stringify(learned.node)},
  "calls": {
${lines(learned.calls)}
  },
  "arguments": {
${lines(learned.arguments)}
  }
}
`
}

import { rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { borderFiles } from '../../src/deployment/border.ts'
import { ensureDirectory, temporaryFolder, writeAtomic } from '../../src/deployment/files.ts'
import { INSIDE } from '../../src/deployment/layout.ts'
import { EGRESS } from '../../src/docker/compose.ts'
import { runSibling } from '../../src/docker/sibling.ts'
import { ToolError } from '../../src/errors.ts'
import type { Step } from '../../src/procedure/step.ts'
import { type EgressContext, filesToWrite, rulesOf } from './context.ts'

type Needs = Pick<EgressContext, 'layout' | 'docker' | 'compose' | 'change' | 'answers' | 'owner'>

/** Squid itself reads the new rules before they replace anything, in a container of its own beside the running one. */
export const checkRules: Step<Needs> = {
  id: 'egress.check',
  title: 'Have Squid check the new rules',
  effect: 'reads',
  async skip(ctx) {
    if (rulesAmong(ctx) === undefined) return 'the rules stay as they are'
    const proxy = await ctx.compose.container(EGRESS).catch(() => undefined)
    return proxy?.State.Running === true ? undefined : 'no proxy runs that could check them'
  },
  async run(ctx) {
    const { layout, docker, compose, answers, owner } = ctx
    const proxy = await compose.container(EGRESS)
    const rules = rulesAmong(ctx)
    if (proxy === undefined || rules === undefined) throw new Error('there is nothing to check')
    const staging = temporaryFolder(resolve(layout.own, '.ocs-check-'))
    try {
      ensureDirectory(staging, 0o700, owner())
      for (const [name, content] of Object.entries({ ...borderFiles(answers), 'squid.conf': rules }))
        writeAtomic(resolve(staging, name), content, 0o400, owner())
      const { code, stderr } = await runSibling(docker, proxy, {
        command: ['squid', '-k', 'parse', '-f', `${INSIDE.border}/squid.conf`],
        mounts: [{ source: staging, target: INSIDE.border, readOnly: true }],
        // Squid looks up the name it listens at, which only the running one's network has.
        network: `container:${proxy.Id}`,
        environment: {},
        shares: 256,
        deadline: 60_000,
      })
      if (code === 0) return { saw: 'it understands them' }
      throw new ToolError(
        'egress_rules',
        `Squid does not take the new rules: ${complaintIn(stderr)}`,
        'Nothing was changed. Is that a defect of create-openclaw-secure? Please report it with this line.',
      )
    } finally {
      rmSync(staging, { recursive: true, force: true })
    }
  },
}

/** The rules that are to be written; undefined: they stay as they are. Errors: those of {@link filesToWrite}. */
export function rulesAmong(ctx: Pick<Needs, 'layout' | 'change' | 'owner'>): string | undefined {
  return filesToWrite(ctx).find(({ path }) => path === rulesOf(ctx.layout))?.content
}

/** Squid says much when it reads its rules; what it dies of has a word in capitals. */
function complaintIn(stderr: string): string {
  const line = stderr.split('\n').find(one => /FATAL|ERROR|Bungled/.test(one))
  return line?.replace(/^.*?\| /, '').trim() ?? 'it does not say why'
}

import { createTwoFilesPatch } from 'diff'
import type { Answers } from '../../src/deployment/answers.ts'
import { providerProblem } from '../../src/deployment/egress.ts'
import { lookAt, readIfPresent, writeAtomic } from '../../src/deployment/files.ts'
import { Exit, ToolError, visible } from '../../src/errors.ts'
import { writeAnswers } from '../../src/wizard/answers-file.ts'
import { readDeployment } from '../../src/wizard/saved.ts'
import { isPolicyTaken, takePolicy } from './clean-setup.ts'
import type { Action, IncidentContext } from './context.ts'
import { LEFT } from './left.ts'
import { suspicionsOf } from './sessions.ts'

/** What the findings say about the policy. */
export interface Found {
  /** Suspicions of the gravest kind in the sessions. */
  high: number
  /** Allowed hosts that a suspicious call has named. */
  hosts: readonly string[]
  /** Whether secrets are rotated by themselves. */
  isScheduled: boolean
}

/** Another `deployment.yaml`, why, and what only a person can decide. */
export interface Proposal {
  answers: Answers
  why: readonly string[]
  advice: readonly string[]
}

/** What is weaker than it has to be becomes what setup would have chosen; it is the person's to agree. */
export const proposePolicy: Action = {
  id: 'policy.propose',
  title: 'Propose what is to be stricter from now on',
  effect: 'contains',
  async run(ctx) {
    const { layout } = ctx
    const before = readIfPresent(layout.answers)
    if (before === undefined)
      throw new ToolError(
        'no_deployment',
        `${layout.answers} is not there`,
        'Restore it, then --resume.',
        Exit.unknown,
      )
    // A run that was killed has written it, and did not come to say so.
    if (isPolicyTaken(ctx.case, before))
      return { saw: 'what was proposed is in deployment.yaml since before', facts: { policyApplied: true } }
    const { answers, suppressions } = readDeployment(before, layout.root)
    const isScheduled = lookAt(layout.schedule) !== undefined
    const { answers: next, why, advice } = proposalFor(answers, { ...suspicionsOf(ctx.case), isScheduled })
    const accepted = suppressions.map(({ check }) => `verify is told to accept that ${visible(check)} fails`)
    const after = why.length === 0 ? before : writeAnswers(next, suppressions)
    const diff =
      after === before ? '' : createTwoFilesPatch('deployment.yaml', 'deployment.yaml', before, after, '', '')
    const words = [...why, ...[...advice, ...accepted].map(one => `For you to decide: ${one}`)]
    await ctx.case.keep(
      { name: 'findings/policy.diff', command: 'policy.propose', share: true },
      async into => {
        into.write((words.length === 0 ? ['Nothing is proposed.'] : words).map(one => `# ${one}\n`).join(''))
        into.write(diff)
        return undefined
      },
    )
    for (const one of [...advice, ...accepted]) ctx.say(`For you to decide: ${one}.`)
    const suggested = advice.length + accepted.length
    if (diff === '')
      return { saw: `nothing in deployment.yaml is to be stricter; ${suggested} for you to decide` }
    if (!(await isAgreed(ctx, why, diff))) {
      ctx.case.note(LEFT, {
        what: 'decide about the stricter deployment.yaml',
        where: 'findings/policy.diff',
      })
      return {
        saw: `${why.join('; ')}: proposed, and not taken`,
        facts: { changes: why.length, policyApplied: false },
      }
    }
    const there = lookAt(layout.answers)
    const owner = there === undefined ? undefined : { uid: Number(there.uid), gid: Number(there.gid) }
    takePolicy(ctx.case, after)
    writeAtomic(layout.answers, after, Number(there?.mode ?? 0o644) & 0o777, owner)
    return {
      saw: `${why.join('; ')}: in deployment.yaml now`,
      facts: { changes: why.length, policyApplied: true },
    }
  },
}

async function isAgreed(
  { wishes, ask }: IncidentContext,
  why: readonly string[],
  diff: string,
): Promise<boolean> {
  if (wishes.applyPolicy) return true
  if (ask === undefined) return false
  ask.show(diff)
  return ask.confirm(`${why.join('; ')}. Take this change?`)
}

/** What to change in the answers, and what to think about. Without a reason, the answers are what they were. */
export function proposalFor(answers: Answers, { high, hosts, isScheduled }: Found): Proposal {
  const next = { ...answers }
  const why: string[] = []
  const advice: string[] = []
  if (answers.egress === 'open') {
    const unreachable = answers.providers.map(providerProblem).filter(problem => problem !== undefined)
    if (unreachable.length > 0)
      advice.push(`everything can be reached; it cannot be closed while ${unreachable.join('; ')}`)
    else {
      next.egress = 'closed'
      why.push('only named hosts are reached, and not everything')
    }
  }
  const left = answers.egressHosts.filter(host => !hosts.includes(host))
  if (left.length < answers.egressHosts.length) {
    next.egressHosts = left
    why.push(
      `${answers.egressHosts.filter(host => hosts.includes(host)).join(', ')}: not reached any more, since a suspicious call has named it`,
    )
  }
  if (answers.seccomp === 'docker-default') {
    next.seccomp = 'fitted'
    why.push('kernel calls are those that OpenClaw needs, and not all that Docker allows')
  }
  if (answers.agentSandbox === 'docker') {
    next.agentSandbox = 'ssh'
    why.push('the gateway has no hold of the engine any more: the sandbox is one of the deployment')
  }
  const wide = left.filter(host => host.startsWith('*.'))
  if (wide.length > 0) advice.push(`${wide.join(', ')} is every name below; name the hosts that are needed`)
  if (high > 0 && answers.posture === 'coding')
    advice.push('agents have run what looks like misuse; with agent.posture "workspace" they run no commands')
  if (answers.contact === '') advice.push('nobody is named to be called: incident.contact')
  if (!isScheduled)
    advice.push('secrets are rotated by hand only: create-openclaw-secure rotate --schedule monthly')
  return { answers: next, why, advice }
}

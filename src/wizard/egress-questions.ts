import { isIPv4 } from 'node:net'
import type { Answers } from '../deployment/answers.ts'
import { isEgressHost, PRESETS, providerProblem } from '../deployment/egress.ts'
import { choice, list, text } from './kinds.ts'
import { always, define, never } from './question.ts'

/** What the gateway may reach: asked after the providers, whose hosts it reaches in any case. */
export const EGRESS_QUESTIONS = [
  define({
    id: 'egress',
    flag: '--egress',
    path: ['egress', 'mode'],
    group: 'Egress',
    prompt: 'What may the gateway and its agents reach?',
    help: 'what the gateway may reach; open is a weakening',
    kind: choice<Answers['egress']>('<mode>', [
      { value: 'closed', label: 'Only named hosts', hint: 'your providers and what you allow, over HTTPS' },
      { value: 'open', label: 'Everything', hint: 'whatever an agent can read, it can send anywhere' },
    ]),
    fallback: () => 'closed',
    advanced: always,
    refuses: (value, { providers = [] }) => {
      if (value === 'open') return undefined
      const unreachable = providers.map(providerProblem).filter(problem => problem !== undefined)
      return unreachable.length === 0 ? undefined : unreachable.join('; ')
    },
  }),
  define({
    id: 'egressHosts',
    flag: '--allow-host',
    path: ['egress', 'hosts'],
    group: 'Egress',
    prompt:
      'Which hosts besides the providers? (names, commas between; *.example.org for all below; empty for none)',
    help: 'host the gateway may reach over HTTPS, repeatable; its providers are allowed anyway',
    kind: list(
      text(
        `a host name such as api.example.org, *.example.org, or one of ${Object.keys(PRESETS).join(', ')}`,
        '<host>',
        value => isEgressHost(value),
      ),
      value => value,
    ),
    fallback: () => [],
    when: answers => answers.egress !== 'open',
    needs: '--egress closed',
    advanced: always,
  }),
  define({
    id: 'egressResolver',
    flag: '--egress-resolver',
    path: ['egress', 'resolver'],
    group: 'Egress',
    prompt: 'Which name server does the proxy ask? (an IP address; empty for the one Docker uses)',
    help: 'name server the proxy asks; Docker’s when not given',
    kind: text(
      'an IP address (IPv4) such as 9.9.9.9, or empty',
      '<address>',
      value => value === '' || isIPv4(value),
    ),
    fallback: never,
    when: answers => answers.egress !== 'open',
    needs: '--egress closed',
    advanced: always,
  }),
] as const

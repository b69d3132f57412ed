import { INSIDE } from '../../src/deployment/layout.ts'
import { AUTH_PATH } from '../../src/gateway/probe.ts'
import { passIf, type Twin, unknown, type VerifyCheck } from './check.ts'

/** The negative half matters more: a gateway that lets everybody in looks healthy. */
export const tokenRequired: VerifyCheck = {
  id: 'token.required',
  title: 'Without a token nobody is let in',
  line: 1,
  threat: 'credential leakage',
  severity: 'critical',
  kind: 'live',
  remedy: 'Set gateway.auth.mode to "token" in config/openclaw.json, or run create-openclaw-secure . again.',
  refs: { seed: '1. Gateway Authentication', openclaw: 'gateway.http.no_auth' },
  async run(world) {
    const none = await world.askHost('none')
    const evidence = `GET ${AUTH_PATH} without a token: ${none ?? 'no answer'}`
    return none === undefined ? unknown(evidence) : passIf(none === 401, evidence)
  },
  sabotage: { in: 'unguarded', weaken: letEverybodyIn },
}

/** Without a token OpenClaw listens on loopback alone; a forwarder in the container makes that everybody's loopback. */
export function letEverybodyIn(twin: Twin): void {
  twin.policy(['gateway', 'auth', 'mode'], 'none')
  twin.policy(['gateway', 'bind'], 'loopback')
  twin.service({ command: ['node', 'openclaw.mjs', 'gateway', '--bind', 'loopback', '--port', '18790'] })
  twin.startWith(
    `node -e "const n=require('net');n.createServer(a=>{const b=n.connect(18790,'127.0.0.1');a.pipe(b).pipe(a);a.on('error',()=>b.destroy());b.on('error',()=>a.destroy())}).listen(${INSIDE.port},'0.0.0.0')" &`,
  )
}

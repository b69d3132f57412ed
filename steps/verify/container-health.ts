import { passIf, unknown, type VerifyCheck } from './check.ts'

/** A gateway that hangs keeps its container running; only this shows it. */
export const containerHealth: VerifyCheck = {
  id: 'container.health',
  title: 'The engine watches the gateway’s health, and it is well',
  line: 3,
  threat: 'resource exhaustion',
  severity: 'medium',
  kind: 'live',
  remedy: 'docker inspect shows what the health check said; then docker compose logs.',
  refs: { seed: 'Docker Security Hardening', cis: '4.6, 5.27' },
  async run(world) {
    const status = (await world.container()).State.Health?.Status
    if (status === undefined || status === 'none') return passIf(false, 'docker inspect: no health check')
    if (status !== 'starting') return passIf(status === 'healthy', `docker inspect: ${status}`)
    const answer = await world.health()
    const evidence = `docker inspect: starting; GET /healthz: ${answer ?? 'no answer'}`
    return answer === undefined ? unknown(evidence) : passIf(answer === 200, evidence)
  },
  sabotage: { weaken: twin => twin.service({ healthcheck: { disable: true } }) },
}

import { passIf, type VerifyCheck } from './check.ts'

/** The image cannot be changed from inside. */
export const composeReadOnly: VerifyCheck = {
  id: 'compose.read-only',
  title: 'docker-compose.yml makes the root file system read-only',
  line: 5,
  threat: 'filesystem access',
  severity: 'high',
  kind: 'static',
  remedy: 'Set read_only: true in docker-compose.yml.',
  refs: { seed: '3. Sandbox Isolation', cis: '5.13' },
  async run(world) {
    const { readOnly, tmpfs } = await world.service()
    const lax = Object.entries(tmpfs).filter(([, options]) => !/noexec/.test(options))
    return passIf(
      readOnly && lax.length === 0,
      `docker-compose.yml: read_only ${readOnly}, tmpfs ${Object.keys(tmpfs).join(', ') || 'none'}${lax.length === 0 ? '' : `; executable: ${lax.map(([path]) => path).join(', ')}`}`,
    )
  },
  sabotage: { weaken: twin => twin.service({ read_only: false }) },
}

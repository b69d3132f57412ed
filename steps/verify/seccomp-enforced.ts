import { isDeepStrictEqual } from 'node:util'
import { parseJson } from '../../src/json.ts'
import type { Check } from '../../src/procedure/step.ts'
import { passIf, unknown } from './judge.ts'
import { inDeployment, type World } from './world.ts'

/** "Seccomp: 2" shows some filter; Docker's default does too. So: the loaded profile is compared, and a forbidden call is made. */
export const seccompEnforced: Check<World> = {
  id: 'seccomp.enforced',
  title: 'The kernel enforces this deployment’s seccomp profile',
  line: 3,
  threat: 'privilege escalation',
  severity: 'high',
  remedy:
    'Run create-openclaw-secure . again: Docker keeps the old profile until the container is made anew.',
  refs: { seed: 'Seccomp Profile', cis: '5.22' },
  bySetup: true,
  async run(world) {
    const processes = await world.processes()
    const filtered = processes.length > 0 && processes.every(p => p.seccomp === 2)
    const { HostConfig } = await world.container()
    const loaded = (HostConfig.SecurityOpt ?? [])
      .find(option => option.startsWith('seccomp'))
      ?.replace(/^seccomp[=:]/, '')
    const same = isDeepStrictEqual(
      parseJson(loaded ?? ''),
      parseJson(await world.text(inDeployment(world, 'seccomp-profile.json'))),
    )
    const { code, stderr } = await world.inside(UNSHARE)
    if (code === 2) return unknown(`a forbidden call could not be tried: ${stderr.trim()}`)
    const denied = code === 0
    return passIf(
      filtered && same && denied,
      `Seccomp ${filtered ? '2' : 'not 2'} in /proc/*/status of ${processes.length} processes; the loaded profile ${same ? 'is' : 'is not'} seccomp-profile.json; a new user namespace ${denied ? 'is refused' : 'is not refused'}`,
    )
  },
  sabotage: world => ({
    ...world,
    async container() {
      const real = await world.container()
      return {
        ...real,
        HostConfig: { ...real.HostConfig, SecurityOpt: ['no-new-privileges:true', 'seccomp=unconfined'] },
      }
    },
  }),
}

/** Exits 0 when the kernel refuses `unshare --user`, 1 when it goes along, 2 when there is no unshare to try. */
const UNSHARE = `const {spawnSync}=require('child_process');const r=spawnSync('unshare',['--user','true']);if(r.error){console.error('no unshare in the image');process.exit(2)}process.exit(r.status===0?1:0)`

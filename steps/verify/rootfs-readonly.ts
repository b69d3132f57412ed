import { INSIDE } from '../../src/deployment/layout.ts'
import { parseJson } from '../../src/json.ts'
import type { Check } from '../../src/procedure/step.ts'
import { passIf, unknown } from './judge.ts'
import type { World } from './world.ts'

/** Tried as the agent would. /tmp is tried too: a test in which every write fails might be failing for another reason. */
export const rootfsReadonly: Check<World> = {
  id: 'rootfs.readonly',
  title: 'The image, the policy and the secrets cannot be written from inside',
  line: 5,
  threat: 'filesystem access',
  severity: 'high',
  remedy:
    'Set read_only: true and the read-only mounts in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: '3. Sandbox Isolation', cis: '5.13' },
  bySetup: true,
  async run(world) {
    const { code, stdout } = await world.inside(WRITE)
    const seen = parseJson(stdout)
    if (code !== 0 || typeof seen !== 'object' || seen === null) return unknown('the write test did not run')
    const results = Object.entries(seen)
    if (results.every(([path]) => path === '/tmp')) return unknown('the write test tried nothing')
    const good = results.every(([path, result]) =>
      path === '/tmp' ? result === 'written' : result === 'EROFS',
    )
    return passIf(
      good,
      `tried to create a file: ${results.map(([path, result]) => `${path} ${result}`).join(', ')}`,
    )
  },
  sabotage: world => ({
    ...world,
    inside: async () => ({ code: 0, stdout: '{"/":"written","/tmp":"written"}', stderr: '' }),
  }),
}

const WRITE = `const fs=require('fs');const r={};for(const d of ['/','/usr/local','/var',process.cwd(),'${INSIDE.home}','${INSIDE.config}','${INSIDE.secrets}','/tmp']){const f=d+'/.ocs-write-test';try{fs.writeFileSync(f,'');fs.unlinkSync(f);r[d]='written'}catch(e){r[d]=e.code}}console.log(JSON.stringify(r))`

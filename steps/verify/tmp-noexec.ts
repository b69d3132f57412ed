import { INSIDE } from '../../src/deployment/layout.ts'
import { parseJson } from '../../src/json.ts'
import type { Check } from '../../src/procedure/step.ts'
import { passIf, unknown } from './judge.ts'
import type { World } from './world.ts'

/** What is downloaded must not run. */
export const tmpNoexec: Check<World> = {
  id: 'tmp.noexec',
  title: 'Nothing in a temporary folder can be executed',
  line: 5,
  threat: 'command injection',
  severity: 'medium',
  remedy: 'Mount it with noexec in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: '3. Sandbox Isolation' },
  bySetup: true,
  async run(world) {
    const { code, stdout } = await world.inside(EXECUTE)
    const seen = parseJson(stdout)
    if (code !== 0 || typeof seen !== 'object' || seen === null) return unknown('the test did not run')
    const results = Object.entries(seen)
    const untried = results.filter(([, result]) => String(result).startsWith('not tried'))
    if (results.length === 0 || untried.length > 0)
      return unknown(
        `no program could be put there: ${untried.map(([path, result]) => `${path} ${result}`).join(', ')}`,
      )
    return passIf(
      results.every(([, result]) => result === 'EACCES'),
      `copied a program there and started it: ${results.map(([path, result]) => `${path} ${result}`).join(', ')}`,
    )
  },
  sabotage: world => ({
    ...world,
    inside: async () => ({ code: 0, stdout: '{"/tmp":"started"}', stderr: '' }),
  }),
}

const EXECUTE = `const fs=require('fs');const {spawnSync}=require('child_process');const r={};for(const d of ['/tmp','${INSIDE.cache}']){const f=d+'/.ocs-exec-test';try{fs.copyFileSync('/bin/true',f);fs.chmodSync(f,0o755);const s=spawnSync(f);r[d]=s.error?s.error.code:'started'}catch(e){r[d]='not tried: '+e.code}finally{fs.rmSync(f,{force:true})}}console.log(JSON.stringify(r))`

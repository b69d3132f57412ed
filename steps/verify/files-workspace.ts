import { INSIDE } from '../../src/deployment/layout.ts'
import { demand, type VerifyCheck } from './check.ts'

/** It binds the file tools only; a command is bound by its container alone, which is why it gets one of its own. */
export const filesWorkspace: VerifyCheck = {
  id: 'files.workspace',
  title: 'The agent’s file tools stay in its workspace',
  line: 5,
  threat: 'filesystem access',
  severity: 'high',
  kind: 'static',
  remedy: 'Set tools.fs.workspaceOnly to true, or run create-openclaw-secure . again.',
  refs: { seed: '4. Filesystem Scoping' },
  async run(world) {
    return demand(await world.policy(), [
      ['tools.fs.workspaceOnly', true],
      ['tools.exec.applyPatch.workspaceOnly', true],
      ['agents.defaults.workspace', INSIDE.workspace],
    ])
  },
  sabotage: { weaken: twin => twin.policy(['tools', 'fs', 'workspaceOnly'], false) },
}

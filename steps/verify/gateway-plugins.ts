import { passIf, type VerifyCheck } from './check.ts'
import { at } from './tree.ts'

/** A plug-in runs inside the gateway with all its rights. */
export const gatewayPlugins: VerifyCheck = {
  id: 'gateway.plugins',
  title: 'Only plug-ins that were named are loaded, and none is uploaded',
  line: 3,
  threat: 'command injection',
  severity: 'high',
  kind: 'static',
  remedy: 'List the plug-ins in plugins.allow, or run create-openclaw-secure . again.',
  refs: { seed: '6. Command Restrictions', openclaw: 'plugins.tools_reachable_permissive_policy' },
  async run(world) {
    const policy = await world.policy()
    const allowed = at(policy, 'plugins', 'allow')
    const uploads = at(policy, 'skills', 'install', 'allowUploadedArchives')
    const named = Array.isArray(allowed) && !allowed.some(name => /[*]/.test(String(name)))
    const known =
      world.own === undefined || !Array.isArray(allowed)
        ? named
        : allowed.every(name =>
            ['memory-core', ...(world.own?.providers ?? []).map(one => one.id)].includes(String(name)),
          )
    return passIf(
      named && known && uploads === false,
      `openclaw.json: plugins.allow ${JSON.stringify(allowed ?? null)}, skills.install.allowUploadedArchives ${JSON.stringify(uploads ?? null)}`,
    )
  },
  sabotage: { weaken: twin => twin.policy(['plugins', 'allow'], undefined) },
}

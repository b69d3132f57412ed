import { passIf, type VerifyCheck } from './check.ts'
import { at } from './tree.ts'

/** A page of somebody else, open in the same browser, must not be able to use the connection. */
export const networkOrigins: VerifyCheck = {
  id: 'network.origins',
  title: 'Only this gateway’s own pages may talk to it',
  line: 2,
  threat: 'network exfiltration',
  severity: 'high',
  kind: 'static',
  remedy:
    'List the exact origins in gateway.controlUi.allowedOrigins, or run create-openclaw-secure . again.',
  refs: { seed: '2. Network Isolation', openclaw: 'gateway.control_ui.allowed_origins_wildcard' },
  async run(world) {
    const ui = at(await world.policy(), 'gateway', 'controlUi')
    const origins = at(ui, 'allowedOrigins')
    const exact =
      Array.isArray(origins) &&
      origins.length > 0 &&
      origins.every(origin => /^https?:\/\/[\w.-]+(:\d+)?$/.test(String(origin)))
    const fallback = at(ui, 'dangerouslyAllowHostHeaderOriginFallback') === true
    return passIf(
      exact && !fallback && at(ui, 'allowExternalEmbedUrls') !== true,
      `openclaw.json: gateway.controlUi.allowedOrigins ${JSON.stringify(origins ?? null)}, host header fallback ${fallback ? 'on' : 'off'}`,
    )
  },
  sabotage: { weaken: twin => twin.policy(['gateway', 'controlUi', 'allowedOrigins'], ['*']) },
}

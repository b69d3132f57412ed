/**
 * The places of openclaw.json that take a reference (OpenClaw 2026.9.6, "SecretRef credential surface"). Anywhere else one
 * would keep the gateway from starting. `*` is any one key, `a|b` either; of a channel, each of its accounts has the same.
 */
const PLACES = [
  'gateway.auth|remote.token|password',
  'cron.webhookToken',
  'memory.search.remote.apiKey',
  'models.providers.*.apiKey',
  'models.providers.*.headers.*',
  'models.providers.*.request.auth.token|value',
  'models.providers.*.request.headers.*',
  'models.providers.*.request.tls.ca|cert|key|passphrase',
  'models.providers.*.request.proxy.tls.ca|cert|key|passphrase',
  'skills.entries.*.apiKey',
  'talk.providers.*.apiKey',
  'talk.realtime.providers.*.apiKey',
  'tts.providers.*.apiKey',
  'tts.personas.*.providers.*.apiKey',
  'agents.entries.*.memory.search.remote.apiKey',
  'agents.entries.*.tts.providers.*.apiKey',
  'agents.entries.*.tts.personas.*.providers.*.apiKey',
  'channels.buzz.authTag|privateKey',
  'channels.clickclack|discord.token',
  'channels.discord.pluralkit.token',
  'channels.discord.voice.realtime|tts.providers.*.apiKey',
  'channels.discord.voice.tts.personas.*.providers.*.apiKey',
  'channels.feishu.appSecret|encryptKey|verificationToken',
  'channels.irc.password',
  'channels.irc.nickserv.password',
  'channels.matrix.accessToken|password',
  'channels.mattermost.botToken',
  'channels.msteams.appPassword',
  'channels.nextcloud-talk.apiPassword|botSecret',
  'channels.nostr.privateKey',
  'channels.qqbot.clientSecret',
  'channels.slack.appToken|botToken|signingSecret|userToken',
  'channels.slack.relay.authToken',
  'channels.sms.authToken',
  'channels.telegram|zalo.botToken|webhookSecret',
  'plugins.entries.acpx.config.mcpServers.*.env.*',
  'plugins.entries.brave|exa|firecrawl|google|minimax|moonshot|parallel|perplexity|tavily|xai.config.webSearch.apiKey',
  'plugins.entries.codex.config.appServer.authToken',
  'plugins.entries.codex.config.appServer.headers.*',
  'plugins.entries.comfy.config.headers.*',
  'plugins.entries.firecrawl.config.webFetch.apiKey',
  'plugins.entries.google.config.webSearch.headers.*',
  'plugins.entries.facetime|google-meet|voice-call.config.realtime.providers.*.apiKey',
  'plugins.entries.voice-call.config.streaming|tts.providers.*.apiKey',
  'plugins.entries.voice-call.config.twilio.authToken',
  'plugins.entries.imap.config.accounts.*.password',
  'plugins.entries.team-reports.config.discord|github.token',
  'plugins.entries.typesafe.config.apiKey',
  'plugins.entries.webhooks.config.routes.*.secret',
].map(place => place.split('.').map(segment => (segment === '*' ? undefined : segment.split('|'))))

/** Whether openclaw.json may hold a reference at a path. */
export function takesReference(path: readonly (string | number)[]): boolean {
  const plain =
    path[0] === 'channels' && path[2] === 'accounts' ? [...path.slice(0, 2), ...path.slice(4)] : path
  return PLACES.some(
    place =>
      place.length === plain.length &&
      place.every((allowed, index) => {
        const segment = plain[index]
        return typeof segment === 'string' && (allowed === undefined || allowed.includes(segment))
      }),
  )
}

/** Whether what stands at a path is a secret by OpenClaw's own account, whatever its key is called. */
export function holdsSecret(path: readonly (string | number)[]): boolean {
  return (
    takesReference(path) &&
    !['headers', 'env'].includes(String(path.at(-2))) &&
    !['ca', 'cert'].includes(String(path.at(-1)))
  )
}

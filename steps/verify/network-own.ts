import { passIf, type VerifyCheck } from './check.ts'

/** On Docker’s default bridge every container of the machine can knock. */
export const networkOwn: VerifyCheck = {
  id: 'network.own',
  title: 'The gateway has a network of its own, without neighbours',
  line: 2,
  threat: 'network exfiltration',
  severity: 'medium',
  kind: 'live',
  remedy: 'Give it a network of its own with com.docker.network.bridge.enable_icc: "false".',
  refs: { seed: '2. Network Isolation', cis: '5.30' },
  async run(world) {
    const { HostConfig, NetworkSettings } = await world.container()
    const names = Object.keys(NetworkSettings.Networks ?? {})
    if (names.length === 0 || ['host', 'bridge', 'default'].includes(HostConfig.NetworkMode))
      return passIf(false, `docker inspect: network mode ${HostConfig.NetworkMode}`)
    const { Name, Options, Containers } = await world.network()
    const separate = Options?.['com.docker.network.bridge.enable_icc'] === 'false'
    const inhabitants = Object.keys(Containers ?? {}).length
    return passIf(
      names.length === 1 && separate,
      `docker inspect: networks ${names.join(', ')}; ${Name} has ${inhabitants} containers, which ${separate ? 'cannot' : 'can'} reach each other`,
    )
  },
  sabotage: {
    weaken: twin => twin.network({ driver_opts: { 'com.docker.network.bridge.enable_icc': 'true' } }),
  },
}

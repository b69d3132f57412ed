import { passIf, unknown, type VerifyCheck } from './check.ts'

/** A debugger, a shell, a second server: whatever should not be there has to listen to be used. */
export const portsListening: VerifyCheck = {
  id: 'ports.listening',
  title: 'Nothing but the gateway listens in the container',
  line: 2,
  threat: 'network exfiltration',
  severity: 'high',
  kind: 'live',
  remedy: 'Find out what it is: docker top, then ss or /proc/net/tcp in the container’s network.',
  refs: { seed: '2. Network Isolation', cis: '5.7' },
  async run(world) {
    const port = await world.insidePort()
    const sockets = await world.listening()
    // 127.0.0.11 is Docker's own name server, which no other machine can reach.
    const others = sockets.filter(socket => socket.port !== port && socket.address !== '127.0.0.11')
    const shown = (others.length > 0 ? others : sockets).map(socket => `${socket.address}:${socket.port}`)
    if (!sockets.some(socket => socket.port === port))
      return unknown(`/proc/net/tcp of the container: nothing listens on ${port}`)
    return passIf(others.length === 0, `/proc/net/tcp of the container: ${shown.join(', ')}`)
  },
  sabotage: {
    weaken: twin => twin.startWith(`node -e "require('net').createServer().listen(9229,'0.0.0.0')" &`),
  },
}

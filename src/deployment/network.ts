import { createServer } from 'node:net'

/**
 * The deployment's own bridge. Its name is fixed so that a firewall rule can name it; its addresses are used only when
 * a proxy has to be told apart from everybody else. Both follow from the deployment's name.
 */
export function bridgeNetwork(name: string): { bridge: string; subnet: string; gateway: string } {
  // FNV-1a, 32 bits: spreads names over bridges and over 10.200.0.0 to 10.249.255.248.
  let hash = 0x811c9dc5
  for (const char of name) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0
  const block = hash % (50 * 256 * 32)
  const address = (offset: number) =>
    `10.${200 + Math.floor(block / 8192)}.${Math.floor(block / 32) % 256}.${(block % 32) * 8 + offset}`
  return {
    bridge: `ocs-${hash.toString(16).padStart(8, '0')}`,
    subnet: `${address(0)}/29`,
    gateway: address(1),
  }
}

/** A port on 127.0.0.1 that nobody uses at the moment. */
export function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer()
    server.once('error', fail)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() =>
        typeof address === 'object' && address !== null ? done(address.port) : fail(new Error('no port')),
      )
    })
  })
}

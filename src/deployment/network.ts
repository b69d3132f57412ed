import { createServer } from 'node:net'
import { EGRESS, INGRESS } from '../docker/compose.ts'

/** The networks of a deployment, by their names in the Compose file. */
export const NETWORKS = {
  /** The gateway, and what stands before and behind it. Without an address of this machine, and without a way out. */
  inside: 'inside',
  /** The published port. Nothing leaves by it. */
  front: 'front',
  /** The way out: for the filter alone, unless the person wanted none. */
  outside: 'outside',
  /** The gateway and the sandbox of its agents. As closed as `inside`. */
  sandbox: 'sandbox',
} as const

/** Names of one companion on one network alone: it listens there, and not on the others that it is on. */
export const LISTENS = {
  /** The proxy, where the gateway asks it. */
  egress: `${EGRESS}-${NETWORKS.inside}`,
  /** What hands requests in, where the port is published. */
  ingress: `${INGRESS}-${NETWORKS.front}`,
} as const

/**
 * The name server that Docker's own would ask about foreign names. Nobody listens there: without it some engines ask for an
 * internal network too, with the machine's own address (CVE-2024-29018), and a question is a message.
 */
export const NOWHERE = '127.0.0.1'

/**
 * The addresses of a deployment's own. The bridge's name is fixed so that a firewall rule can name it; the subnets are
 * used only when somebody has to be told apart from everybody else. All follow from the deployment's name.
 */
export function addressesOf(name: string): {
  bridge: string
  front: { subnet: string; gateway: string }
  inside: { subnet: string; range: string; gateway: string; ingress: string }
} {
  // FNV-1a, 32 bits: spreads names over bridges and, in blocks of 32, over 10.200.0.0 to 10.249.255.224.
  let hash = 0x811c9dc5
  for (const char of name) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0
  const block = hash % (50 * 256 * 8)
  const address = (offset: number) =>
    `10.${200 + Math.floor(block / 2048)}.${Math.floor(block / 8) % 256}.${(block % 8) * 32 + offset}`
  return {
    // Another name than the one network of former versions had: two cannot have the same.
    bridge: `ocf-${hash.toString(16).padStart(8, '0')}`,
    front: { subnet: `${address(0)}/29`, gateway: address(1) },
    // The engine gives out addresses of the upper half; the ingress has one below.
    inside: {
      subnet: `${address(16)}/28`,
      range: `${address(24)}/29`,
      gateway: address(17),
      ingress: address(18),
    },
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

import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import type { Surroundings } from './attack.ts'

/** What the programs that are fetched and run would do. */
const PAYLOAD = 'echo ocs-payload-ran\n'

export interface Doors {
  surroundings: Surroundings
  close(): void
}

/**
 * What attacks on the network aim at: listeners of this process, on all addresses of this machine, that answer everybody the same
 * and read nothing. `outside` is the address of this machine that stands for the world; nothing leaves the machine. Errors: those of
 * `listen`.
 */
export async function openDoors(outside: string): Promise<Doors> {
  const servers = [1, 2].map(() =>
    createServer(socket => {
      socket.on('error', () => {})
      socket.setTimeout(5000, () => socket.destroy())
      socket.once('data', () => socket.end(`HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n${PAYLOAD}`))
    }),
  )
  // Bound to the one address, so that answers come from where the question went.
  const packets = createSocket('udp4')
  packets.on('message', (message, from) => {
    // As an answer of DNS: the bit that says so, and the question again.
    const answer = Buffer.from(message)
    if (answer.length > 2) answer.writeUInt8(answer.readUInt8(2) | 0x80, 2)
    packets.send(answer, from.port, from.address)
  })
  const close = () => {
    for (const server of servers) server.close()
    packets.close()
  }
  try {
    const ports = await Promise.all(
      servers.map(
        server =>
          new Promise<number>((done, fail) => {
            server.once('error', fail)
            server.listen(0, () => {
              const bound = server.address()
              done(typeof bound === 'object' && bound !== null ? bound.port : 0)
            })
          }),
      ),
    )
    await new Promise<void>((done, fail) => {
      packets.once('error', fail)
      packets.bind(0, outside, done)
    })
    const [tcp = 0, other = 0] = ports.map(String)
    const udp = String(packets.address().port)
    return {
      surroundings: {
        OUTSIDE: outside,
        TCP: String(tcp),
        OTHER: String(other),
        UDP: udp,
        DNS: udp,
        HOST: outside,
        HOST_PORT: String(tcp),
      },
      close,
    }
  } catch (error) {
    close()
    throw error
  }
}

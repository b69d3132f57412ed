import { INSIDE } from '../deployment/layout.ts'
import { type Docker, firstLine } from '../docker/engine.ts'
import { visible } from '../errors.ts'
import { SANDBOX } from './sandbox.ts'

/** Who one is in the sandbox; or why one did not come in. Not getting an answer is neither a yes nor a no of the sandbox. */
export type Login =
  | { uid: number }
  | { refused: 'the host key is not the known one' | 'the key is not let in' | 'no answer'; said: string }

/**
 * Comes into the sandbox as the gateway does, by a connection of its own, and asks who one is there. The key is a file of the
 * gateway's secrets folder and stays there. `hostKey` (`ssh-ed25519 AAAA…`) is the only one that is recognised, where it is
 * given; otherwise those the gateway knows. Takes 0.4 s. Errors: those of the process runner.
 */
export async function enterSandbox(
  docker: Docker,
  container: string,
  keyFile: string,
  hostKey?: string,
): Promise<Login> {
  const known =
    hostKey === undefined
      ? [`UserKnownHostsFile=${SANDBOX.knownHosts}`]
      : [
          'UserKnownHostsFile=none',
          `KnownHostsCommand=/bin/echo [${SANDBOX.service}]:${SANDBOX.port} ${hostKey}`,
        ]
  const options = [...ALONE, ...known].flatMap(option => ['-o', option])
  const { code, stdout, stderr } = await docker.exec(
    container,
    [
      ...['ssh', '-F', 'none', '-n', '-T', ...options, '-i', `${INSIDE.secrets}/${keyFile}`],
      ...['-p', String(SANDBOX.port), `${SANDBOX.user}@${SANDBOX.service}`, 'id -u'],
    ],
    { deadline: 30_000 },
  )
  const uid = /^(\d+)$/m.exec(stdout)?.[1]
  if (code === 0 && uid !== undefined) return { uid: Number(uid) }
  const said = visible(firstLine(stderr.trim().split('\n').at(-1) ?? '')) || 'no reason given'
  if (/host key verification failed/i.test(stderr))
    return { refused: 'the host key is not the known one', said }
  if (/permission denied \(publickey/i.test(stderr)) return { refused: 'the key is not let in', said }
  return { refused: 'no answer', said }
}

/** No open connection is used, nobody is asked anything, and nothing is learnt on the way. */
const ALONE = [
  ...['BatchMode=yes', 'StrictHostKeyChecking=yes', 'UpdateHostKeys=no', 'IdentitiesOnly=yes'],
  ...['IdentityAgent=none', 'GlobalKnownHostsFile=none', 'ControlPath=none', 'ConnectTimeout=5'],
]

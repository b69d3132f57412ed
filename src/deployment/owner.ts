import { chmodSync, chownSync, lstatSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import * as z from 'zod'
import { type Docker, firstLine } from '../docker/engine.ts'
import { ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { type FileOwner, lookAt, temporaryFolder } from './files.ts'
import type { Layout } from './layout.ts'

/**
 * Whom the gateway runs as, and how files come to belong to it. OpenClaw refuses a secret file that its own user does
 * not own, or that anybody else may read.
 *
 * - `same`: the person's own user; every file is right as it is.
 *   With a rootless engine that is user 0 inside: there, and only there, the person has this number.
 * - `chown`: we are root; `host` is the user as this machine numbers it (another number under userns-remap).
 */
export interface Ownership {
  /** The user inside the container. */
  user: FileOwner
  host: FileOwner
  by: 'same' | 'chown'
}

/** The image's usual user, for when the person is root: the gateway never runs as root. */
const UNPRIVILEGED: FileOwner = { uid: 1000, gid: 1000 }

/** What holds on an ordinary engine, without looking: used when nothing is launched. */
export function assumeOwnership(person: FileOwner): Ownership {
  if (person.uid === 0) return { user: UNPRIVILEGED, host: UNPRIVILEGED, by: 'chown' }
  return { user: person, host: person, by: 'same' }
}

const Seen = z.object({ uid: z.number(), gid: z.number(), wrote: z.boolean() })

/**
 * Finds out with a throw-away container how the engine maps users: rootless engines, userns-remap and Docker Desktop
 * all differ, and guessing wrong means a gateway that cannot read its secrets. `near` is the deployment folder, or its
 * nearest existing parent, so that the same file system is probed. Errors: `owner_unknown`.
 */
export async function probeOwnership(
  docker: Docker,
  image: string,
  person: FileOwner,
  near: string,
): Promise<Ownership> {
  const expected = assumeOwnership(person)
  const folder = temporaryFolder(resolve(near, '.ocs-probe-'))
  try {
    if (expected.by === 'chown') chownSync(folder, expected.host.uid, expected.host.gid)
    chmodSync(folder, 0o700)
    const seen = await look(docker, image, expected.user, folder)
    if (
      seen.wrote &&
      seen.uid === expected.user.uid &&
      ownerOf(resolve(folder, 'made-inside')).uid === expected.host.uid
    )
      return expected

    // The numbers differ inside and outside. Let a container's user create a file and see whose it is here.
    chmodSync(folder, 0o777)
    const candidate = person.uid === 0 ? UNPRIVILEGED : { uid: 0, gid: 0 }
    const mapped = await look(docker, image, candidate, folder)
    const host = mapped.wrote ? ownerOf(resolve(folder, 'made-inside')) : undefined
    if (host !== undefined && host.uid !== 0 && person.uid === 0)
      return { user: candidate, host, by: 'chown' }
    if (host !== undefined && host.uid === person.uid && person.uid !== 0)
      return { user: candidate, host, by: 'same' }
    throw new ToolError(
      'owner_unknown',
      `a container of this engine cannot own a file here (inside it is user ${seen.uid}, here ${host === undefined ? 'nobody' : `user ${host.uid}`})`,
      'The engine must run on this machine and share this folder: choose another folder or another Docker context.',
    )
  } finally {
    remove(folder)
  }
}

async function look(
  docker: Docker,
  image: string,
  user: FileOwner,
  folder: string,
): Promise<z.infer<typeof Seen>> {
  const script = `const fs=require('fs');const s=fs.statSync('/probe');let wrote=true;try{fs.writeFileSync('/probe/made-inside','')}catch{wrote=false}console.log(JSON.stringify({uid:s.uid,gid:s.gid,wrote}))`
  const { code, stdout, stderr } = await docker.throwaway({
    image,
    command: ['node', '-e', script],
    user: `${user.uid}:${user.gid}`,
    mounts: [{ source: folder, target: '/probe', readOnly: false }],
    deadline: 60_000,
  })
  const seen = Seen.safeParse(parseJson(stdout))
  if (code === 0 && seen.success) return seen.data
  // A folder the mapped user may not even enter is an answer too.
  if (/EACCES|permission denied/i.test(stderr)) return { uid: -1, gid: -1, wrote: false }
  throw new ToolError(
    'owner_unknown',
    `the image could not be started to find out about users: ${firstLine(stderr)}`,
    'The image must hold node and run on this engine. Is it an OpenClaw image?',
  )
}

function ownerOf(path: string): FileOwner {
  // Not following a link: what the image made there is the image's choice.
  const { uid, gid } = lstatSync(path)
  return { uid, gid }
}

function remove(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true })
  } catch {
    // The file inside belongs to a mapped user, but the folder is ours to empty; a leftover would be an empty probe.
  }
}

/** Who owns what the gateway reads, as the folder itself shows; undefined where that is the person. */
export function ownerOfSecrets(
  { secrets }: Pick<Layout, 'secrets'>,
  person: FileOwner,
): FileOwner | undefined {
  const folder = lookAt(secrets)
  if (folder === undefined || Number(folder.uid) === person.uid) return undefined
  return { uid: Number(folder.uid), gid: Number(folder.gid) }
}

import { readdirSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { lookAt } from '../../src/deployment/files.ts'
import { deploymentContainers } from '../../src/docker/deployment-containers.ts'
import type { Action, IncidentContext } from './context.ts'
import { gatherProgram, networkNames } from './engine.ts'
import { type Gathered, gather, gatherCall, inTurn, outcome } from './gather.ts'
import { copyFile } from './logs.ts'

const FILE_MOST = 16 * 1024 ** 2

/** What this machine and the deployment's folder say. What holds secrets (secrets/, .secure/credentials and /store) is left. */
export const hostAction: Action = {
  id: 'evidence.host',
  title: 'Copy the deployment’s files and the facts of this machine',
  effect: 'reads',
  async run(ctx, signal) {
    const call = (name: string, args: readonly string[]) =>
      gatherCall(ctx, signal, { name: `host/${name}`, share: true }, args)
    const images = [...new Set(await imagesOf(ctx))]
    const gathered = [
      ...(await inTurn(filesOf(ctx), path => {
        const name = `host/files/${relative(ctx.layout.root, path).replace(/^\.secure/, 'secure')}`
        return gather(ctx, signal, { name, command: `read ${path}`, share: true }, (into, most, stop) =>
          copyFile(path, into, Math.min(most, FILE_MOST), stop),
        )
      })),
      await call('docker-version.json', ['version', '--format', '{{json .}}']),
      await call('docker-info.json', ['info', '--format', '{{json .}}']),
      await call('networks.json', ['network', 'inspect', ...(await networkNames(ctx))]),
      ...(images.length === 0 ? [] : [await call('images.json', ['image', 'inspect', ...images])]),
      ...(await firewall(ctx, signal)),
    ]
    return outcome(gathered)
  },
}

/** The files that make the deployment what it is, by path. `sandbox/` holds a key of the sandbox's beside what it is told. */
function filesOf({ layout }: IncidentContext): string[] {
  const inside = (folder: string, wanted: RegExp) =>
    lookAt(folder)?.isDirectory() === true
      ? readdirSync(folder)
          .filter(name => wanted.test(name))
          .map(name => resolve(folder, name))
      : []
  const some = [
    ...inside(layout.border, /^[\w.-]+$/),
    ...inside(layout.sandbox, /^(sshd_config|authorized_keys|known_hosts|passwd|group)$/),
    ...inside(layout.runbooks, /\.(yaml|json|md)$/),
    layout.schedule,
  ]
  return [
    // Every deployment has these: where one is gone, or is something else, that is to be said.
    ...[layout.answers, layout.compose, layout.configFile, resolve(layout.root, 'seccomp-profile.json')],
    ...[layout.journal, ...some.filter(path => lookAt(path)?.isFile() === true)],
  ]
}

async function imagesOf({ docker, answers }: IncidentContext): Promise<string[]> {
  const containers = await deploymentContainers(docker, answers.name)
  const facts = await Promise.all(containers.map(({ id }) => docker.container(id)))
  return facts.flatMap(one => (one === undefined ? [] : [one.Image]))
}

/** The rules of the machine's firewall are for root to read. */
function firewall(ctx: IncidentContext, signal: AbortSignal): Promise<Gathered[]> {
  const tools = [
    ['iptables-save', []],
    ['ip6tables-save', []],
    ['nft', ['list', 'ruleset']],
  ] as const
  return inTurn(tools, ([file, args]) =>
    gatherProgram(
      ctx,
      signal,
      { name: `host/${file}.txt`, command: [file, ...args].join(' '), share: true },
      file,
      args,
    ),
  )
}

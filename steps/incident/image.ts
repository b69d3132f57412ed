import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { pour } from '../../src/docker/collector.ts'
import { SANDBOX_SERVICE, SERVICE } from '../../src/docker/compose.ts'
import { type DeploymentContainer, deploymentContainers } from '../../src/docker/deployment-containers.ts'
import { firstLine } from '../../src/docker/engine.ts'
import { ToolError } from '../../src/errors.ts'
import type { Action, IncidentContext } from './context.ts'
import { gather, gatherCall, inTurn, outcome } from './gather.ts'

/** The label by which a preserved image says whose it is. */
export const CASE_LABEL = 'create-openclaw-secure.case'
/** The step of the case's chain that names a preserved image: `service`, `reference`, `id`. */
export const PRESERVED = 'preserved'

/** The name of the image that a container was preserved as. */
export function evidenceImage(caseId: string, label: string): string {
  // A tag has at most 128 characters; the label is what tells two containers of a case apart.
  return `create-openclaw-secure/evidence:${caseId.slice(0, 127 - label.length)}-${label}`
}

/** The image and its changed layer, in the engine: what can be looked around in later. Nothing in it starts by itself. */
export const imageAction: Action = {
  id: 'evidence.image',
  title: 'Preserve every container as an image',
  effect: 'reads',
  async run(ctx, signal) {
    const containers = await deploymentContainers(ctx.docker, ctx.answers.name)
    return outcome(
      await inTurn(containers, async container => {
        const reference = evidenceImage(ctx.case.id, container.label)
        const name = `${container.label}/image.json`
        try {
          const id = await preserve(ctx, container, reference)
          const isNoted = ctx.case.journal
            .read()
            .some(({ step, facts }) => step === PRESERVED && facts?.id === id)
          if (!isNoted) ctx.case.note(PRESERVED, { service: container.label, reference, id })
        } catch (error) {
          signal.throwIfAborted()
          const missing = error instanceof ToolError ? error.message : 'docker commit did not work'
          ctx.case.missing({ name, command: `docker commit ${container.id}` }, missing)
          return { name, bytes: 0, cut: undefined, missing }
        }
        return gatherCall(ctx, signal, { name, share: true }, ['image', 'inspect', reference])
      }),
    )
  },
}

async function preserve(
  ctx: IncidentContext,
  { id }: DeploymentContainer,
  reference: string,
): Promise<string> {
  const present = await ctx.docker.image(reference)
  if (present !== undefined) return present.Id
  const changes = [
    ...[
      `LABEL ${CASE_LABEL}=${ctx.case.id} ${CASE_LABEL}-of=${ctx.answers.name}`,
      'HEALTHCHECK NONE',
      'ENTRYPOINT ["/bin/false"]',
      'CMD []',
    ],
    ...['USER 65534:65534', 'WORKDIR /'],
  ]
  const flags = changes.flatMap(change => ['--change', change])
  // It is frozen already; the engine's own pausing would set it free afterwards.
  const args = ['commit', '--pause=false', ...flags, id, reference]
  const { code, stdout, stderr } = await ctx.docker.call(args, { deadline: 180_000 })
  if (code !== 0) throw new ToolError('commit_failed', `docker commit says: ${firstLine(stderr)}`, '')
  return firstLine(stdout)
}

/** The whole file system as a tar, for tools that know nothing of images: where an agent can have been. */
export const exportAction: Action = {
  id: 'evidence.export',
  title: 'Export the gateway’s and the sandbox’s file systems',
  effect: 'reads',
  async run(ctx, signal) {
    const containers = await deploymentContainers(ctx.docker, ctx.answers.name)
    const isAgents = ({ service }: DeploymentContainer) =>
      service === undefined || service === SERVICE || service === SANDBOX_SERVICE
    return outcome(
      await inTurn(containers.filter(isAgents), ({ id, label }) => {
        const order = { name: `${label}/filesystem.tar.gz`, command: `docker export ${id} | gzip -1` }
        return gather(ctx, signal, order, async (into, most, stop) => {
          const gzip = createGzip({ level: 1 })
          let written = 0
          const bound = new Transform({
            transform(chunk: Buffer, _encoding, done) {
              written += chunk.length
              done(written > most ? new ToolError('no_room', 'there is no room for it', '') : null, chunk)
            },
          })
          const zipped = pipeline(gzip, bound, into, { end: false, signal: stop })
          // Whoever waits for the export hears of it there.
          zipped.catch(() => {})
          try {
            const options = { deadline: 600_000, most: Number.POSITIVE_INFINITY, signal: stop }
            const { code, stderr } = await pour(ctx.searching, ['export', id], gzip, options)
            if (code !== 0)
              throw new ToolError('export_failed', `docker export says: ${firstLine(stderr)}`, '')
          } catch (error) {
            gzip.destroy()
            throw written > most
              ? await zipped.then(
                  () => error,
                  (cause: unknown) => cause,
                )
              : error
          }
          gzip.end()
          await zipped
          return undefined
        })
      }),
    )
  },
}

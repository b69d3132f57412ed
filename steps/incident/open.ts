import { NETWORKS } from '../../src/deployment/network.ts'
import { SERVICE } from '../../src/docker/compose.ts'
import { forgetLockdown, join, membersOf, readLockdown } from '../../src/docker/isolation.ts'
import { runProcedure } from '../../src/procedure/run.ts'
import { openSteps, setupContextOf } from './clean-setup.ts'
import type { Action, IncidentContext } from './context.ts'

/** Everything is another one by now: what setup does for a new deployment, in the same steps. */
export const openGateway: Action = {
  id: 'gateway.open',
  title: 'Open the gateway again, with everything that protects it',
  effect: 'contains',
  async skip({ layout, docker, answers }) {
    const record = readLockdown(layout)
    const members = await membersOf(docker, answers.name)
    const isSame = record?.places.some(({ container }) => members.some(({ id }) => id === container))
    return isSame === true ? 'it is locked down: create-openclaw-secure unlock opens it' : undefined
  },
  async run(ctx) {
    await backOutside(ctx)
    const setup = setupContextOf(ctx)
    const { written } = await runProcedure('setup', openSteps, setup, ctx.runtimeOf())
    // These are other containers than those that were locked down.
    forgetLockdown(ctx.layout)
    return {
      saw: `the gateway answers on 127.0.0.1:${ctx.answers.port}; setup had to do: ${written.join(', ') || 'nothing'}`,
      facts: { container: setup.found.container ?? '', image: setup.found.image?.pinned ?? '' },
    }
  },
}

/** With an open way out the gateway was kept off that network until now; Compose does not look whether it is on it. */
async function backOutside({ answers: { egress, name }, docker }: IncidentContext): Promise<void> {
  if (egress !== 'open') return
  const network = `${name}_${NETWORKS.outside}`
  const gateway = (await membersOf(docker, name)).find(({ service }) => service === SERVICE)
  if (gateway === undefined || gateway.places.some(place => place.network === network)) return
  const aliases = [`${name}-${SERVICE}-1`, SERVICE]
  await join(docker, [{ label: gateway.label, container: gateway.id, network, aliases, address: '' }])
}

import { DocumentStore } from '../../src/stores/document.ts'
import { clientOf, onePasswordServer, type State } from './onepassword-server.ts'
import { type Obstacle, storeContract } from './store.ts'

/** What the server does instead of answering; the texts are the SDK's own. */
const OBSTRUCTIONS: Record<Obstacle, (state: State) => void> = {
  'refuses this client': state => {
    state.faults = [{ on: 'init', does: 'says', text: 'authentication error: you are not authenticated' }]
  },
  'cannot be reached': state => {
    state.faults = [
      {
        on: 'init',
        does: 'says',
        text: 'authentication error: request library compatibility issue, check that the your environment uses compatible versions: reqwest library: error sending request',
      },
    ]
  },
  'never answers': state => {
    state.faults = [{ on: 'ItemsGet', does: 'hangs' }]
  },
  'holds what this tool never wrote': state => {
    for (const { item } of state.items) item.fields = item.fields.filter(({ id }) => id === 'credential')
  },
}

storeContract('1Password', async () => {
  const server = onePasswordServer()
  let hangs = false
  return {
    open: () => new DocumentStore(clientOf(server, hangs ? { deadline: 1500 } : {}).documents),
    async obstruct(obstacle) {
      const before = server.state()
      hangs = obstacle === 'never answers'
      server.change(OBSTRUCTIONS[obstacle])
      return async () => {
        hangs = false
        server.change(state => {
          delete state.faults
          state.items = before.items
        })
      }
    },
  }
})

import { describe, expect, it } from 'vitest'
import { accessIn, deedsIn, Lines } from '../../src/gateway/records.ts'

/** As OpenClaw 2026.9.6 writes it into its file, without what we do not read. */
const logged = (source: string, said: unknown) =>
  JSON.stringify({ 0: source, 1: said, time: '2026-11-26T10:49:02.706+00:00', message: 'x' })
const WS = '{"subsystem":"gateway/ws"}'
const SHAKE = {
  ...{ cause: 'unauthorized', handshake: 'failed', authReason: 'token_mismatch', remoteAddr: '10.0.0.2' },
  ...{ client: 'cli', clientDisplayName: 'Eve' },
}

describe('the gateway’s log', () => {
  it('has who was refused, why, from where, and as whom', () => {
    expect(accessIn(logged(WS, SHAKE))).toEqual({
      ...{ at: '2026-11-26T10:49:02.706+00:00', what: 'refused: token_mismatch', address: '10.0.0.2' },
      ...{ who: 'Eve, cli', device: '' },
    })
  })

  it('has who asked to be paired, and what became of it', () => {
    const asked = { cause: 'pairing-required', handshake: 'failed', remoteAddr: '10.0.0.2', deviceId: 'ab12' }
    expect(accessIn(logged(WS, asked))).toMatchObject({ what: 'asked to be paired', device: 'ab12' })
    const approved = 'device pairing approved device=ab12 role=operator'
    expect(accessIn(logged('{"subsystem":"gateway"}', approved))).toMatchObject({
      ...{ what: 'device pairing approved', device: 'ab12' },
    })
  })

  it('has when the configuration was changed, and where in it', () => {
    const said = 'config change detected; evaluating reload (tools.exec.mode)'
    expect(accessIn(logged('{"subsystem":"gateway/reload"}', said))).toMatchObject({ who: 'tools.exec.mode' })
  })

  it.each([
    ['an agent says the same', logged('device pairing approved device=ab12', undefined)],
    ['another part says it', logged('{"subsystem":"agent"}', 'device pairing approved device=ab12')],
    ['it is something else', logged(WS, '⇄ res ✓ agent handshake')],
    ['it is no record', 'handshake {'],
    ['its shape is another', JSON.stringify({ 0: 1, 1: [], time: 2, handshake: true })],
  ])('says nothing of it where %s', (_why, line) => {
    expect(accessIn(line)).toBeUndefined()
  })
})

describe('the records of a session', () => {
  const record = (message: unknown, more: object = {}) =>
    JSON.stringify({
      ...{ agent: 'main', session: 'id-1', key: 'agent:main:one', at: 1_795_689_835_173 },
      event: JSON.stringify({ type: 'message', message }),
      ...more,
    })

  it('have what the agent did, with every text in it', () => {
    const call = {
      type: 'toolCall',
      name: 'exec',
      arguments: { command: 'id', env: { A: 'b' }, list: ['c', 4] },
    }
    expect(deedsIn(record({ role: 'assistant', content: [{ type: 'text', text: 'I will' }, call] }))).toEqual(
      [
        {
          at: '2026-11-26T10:43:55.173Z',
          session: 'agent:main:one',
          tool: 'exec',
          kind: 'call',
          text: 'id\nb\nc',
        },
      ],
    )
  })

  it('have what the tool returned, what was said to the agent, and what a person ran', () => {
    const returned = record({ role: 'toolResult', toolName: 'read', content: [{ type: 'text', text: 'x' }] })
    expect(deedsIn(returned)).toMatchObject([{ tool: 'read', kind: 'result', text: 'x' }])
    expect(deedsIn(record({ role: 'user', content: 'hello' }))).toMatchObject([
      { kind: 'said', text: 'hello' },
    ])
    expect(deedsIn(record({ role: 'bashExecution', command: 'id', output: 'root' }))).toMatchObject([
      { kind: 'call', text: 'id' },
      { kind: 'result', text: 'root' },
    ])
  })

  it('are read as earlier releases kept them', () => {
    const line = { type: 'message', timestamp: 'T', message: { role: 'user', content: 'hello' } }
    expect(deedsIn(JSON.stringify(line))).toMatchObject([{ at: 'T', session: 'unknown', text: 'hello' }])
  })

  it.each(['', 'x', '[]', '{"event":"{"}', record({ role: 1 }), record({ role: 'user', content: 3 })])(
    'are nothing where they are none: %s',
    line => {
      expect(deedsIn(line)).toEqual([])
    },
  )

  it('are read to the depth that a tool’s arguments have, and no deeper', () => {
    let deep: unknown = 'end'
    for (let depth = 0; depth < 50; depth++) deep = { deep }
    const [deed] = deedsIn(
      record({ role: 'assistant', content: [{ type: 'toolCall', name: 'x', arguments: deep }] }),
    )
    expect(deed?.text).toBe('')
  })
})

describe('lines', () => {
  const linesOf = async (chunks: readonly string[], longest?: number) => {
    const taken: string[] = []
    const lines = new Lines(line => taken.push(line), longest)
    for (const chunk of chunks) lines.write(Buffer.from(chunk))
    await lines.over()
    return { taken, cut: lines.cut }
  }

  it('are whole, however they come', async () => {
    expect(await linesOf(['a\nb', 'c\n\nd', 'e'])).toEqual({ taken: ['a', 'bc', 'de'], cut: 0 })
  })

  it('are cut where they are too long, which is counted once for each', async () => {
    expect(await linesOf(['12345', '6789\nab', 'c\n12345678'], 6)).toEqual({
      taken: ['123456', 'abc', '123456'],
      cut: 2,
    })
  })

  it('end where the writer has failed', async () => {
    const lines = new Lines(() => {})
    lines.on('error', () => {})
    lines.destroy(new Error('gone'))
    await lines.over()
  })
})

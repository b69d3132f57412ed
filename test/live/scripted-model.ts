/**
 * A model for agent turns that nobody has to pay for: an OpenAI-compatible server that answers each request of a turn with the next
 * tool call of a list, and then with a word. What the tools have answered is kept. Everything else is the real gateway.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ToolCall {
  tool: string
  arguments: Record<string, unknown>
}

export interface ScriptedModel {
  port: number
  /**
   * Has the next turn whose message is `play NAME` make these calls, one after the other. Returns that message, and the tools'
   * answers as they come: one for each call, undefined as long as it was not answered.
   */
  play(name: string, calls: readonly ToolCall[]): { message: string; answers: (string | undefined)[] }
  /** The names of the tools that the last turn offered. */
  offered(): string[]
  close(): void
}

interface Message {
  role: string
  content?: unknown
}

export async function startScriptedModel(): Promise<ScriptedModel> {
  const plays = new Map<string, { calls: readonly ToolCall[]; answers: (string | undefined)[] }>()
  let tools: string[] = []
  const server = createServer(async (request, response) => {
    if (request.method !== 'POST') return void respond(response, '{"object":"list","data":[]}')
    const body = JSON.parse(await textOf(request)) as {
      messages: Message[]
      tools?: { function?: { name?: string } }[]
    }
    const asked = body.messages.findLastIndex(
      message => message.role === 'user' && /\bplay [a-z0-9-]+/.test(wordsOf(message)),
    )
    const name = /\bplay ([a-z0-9-]+)/.exec(wordsOf(body.messages[asked]))?.[1] ?? ''
    const play = plays.get(name)
    if (play !== undefined) tools = (body.tools ?? []).map(tool => tool.function?.name ?? '')
    const results = body.messages.slice(asked + 1).filter(message => message.role === 'tool')
    results.forEach((result, index) => {
      if (play !== undefined) play.answers[index] = wordsOf(result)
    })
    const call = play?.calls[results.length]
    stream(
      response,
      call === undefined
        ? { content: 'done' }
        : {
            tool_calls: [
              {
                index: 0,
                id: `call_${name}_${results.length}`,
                type: 'function',
                function: { name: call.tool, arguments: JSON.stringify(call.arguments) },
              },
            ],
          },
    )
  })
  await new Promise<void>(done => server.listen(0, '0.0.0.0', done))
  return {
    port: (server.address() as AddressInfo).port,
    play(name, calls) {
      const play = { calls, answers: calls.map(() => undefined) }
      plays.set(name, play)
      return { message: `play ${name}`, answers: play.answers }
    },
    offered: () => tools,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

function stream(response: ServerResponse, delta: object): void {
  const chunk = (part: object, end: string | null) =>
    `data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', choices: [{ index: 0, delta: part, finish_reason: end }] })}\n\n`
  const end = 'tool_calls' in delta ? 'tool_calls' : 'stop'
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.end(`${chunk({ role: 'assistant', ...delta }, null)}${chunk({}, end)}data: [DONE]\n\n`)
}

function respond(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(text)
}

/** A message's text, whole or in parts. */
function wordsOf(message: Message | undefined): string {
  const content = message?.content
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.map(part => String(Reflect.get(Object(part), 'text') ?? '')).join('\n')
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return text
}

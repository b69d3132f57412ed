/** The words of `egress`, with what each takes and what it is for. Apart from the rest, which `--help` need not load. */
export const EGRESS_COMMANDS = [
  ['list', 'the hosts that may be reached, why, and what is open'],
  ['allow <hosts...>', 'let the gateway reach these hosts, over HTTPS'],
  ['deny <hosts...>', 'take hosts from the list again'],
  ['test <host[:port]>', 'ask the running proxy whether it would let this through'],
  ['open', 'a weakening: let every public host through, until the time is over'],
  ['close', 'end that at once'],
] as const

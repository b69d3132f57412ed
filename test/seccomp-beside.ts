/** The services beside the gateway, each with what it is there for, as one shell program; every line that fails ends it. */
export const BESIDE: readonly { phase: string; what: string; script: string }[] = [
  {
    phase: 'ssh',
    what: 'takes a shell, a pipe and a file through sshd, over one kept-alive connection',
    script: `mkdir -p /tmp/ssh && cd /tmp/ssh && ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f key
cp key.pub authorized && chmod 600 authorized
printf '%s\\n' 'Port 2222' 'ListenAddress 127.0.0.1' 'HostKey /tmp/ssh/host' 'PidFile none' 'UsePAM no' 'PasswordAuthentication no' 'AuthorizedKeysFile /tmp/ssh/authorized' 'StrictModes no' 'AllowTcpForwarding no' 'Subsystem sftp internal-sftp' > server
/usr/sbin/sshd -D -e -f server & server=$!
printf '[127.0.0.1]:2222 %s\\n' "$(cut -d' ' -f1,2 host.pub)" > known
cat > client <<C
Host box
  HostName 127.0.0.1
  Port 2222
  User node
  IdentityFile /tmp/ssh/key
  IdentitiesOnly yes
  UserKnownHostsFile /tmp/ssh/known
  UpdateHostKeys no
  ControlMaster auto
  ControlPath /tmp/ssh/mux
  ControlPersist 30
C
for i in 1 2 3 4 5 6 7 8 9 10; do ssh -F client box true && break; sleep 0.5; done
[ "$(ssh -F client box 'echo $((6*7))')" = 42 ]
tar cf - known | ssh -F client box 'cat > /tmp/ssh/copy.tar && tar tf /tmp/ssh/copy.tar' > /dev/null
ssh -F client box 'python3 -c "import os; print(os.getcwd())"' > /dev/null
ssh -tt -F client box 'tty; stty -a; sleep 0.1' < /dev/null > /dev/null
echo 'get /tmp/ssh/copy.tar /tmp/ssh/back.tar' | sftp -q -F client -b - box > /dev/null
scp -q -F client box:/tmp/ssh/known /tmp/ssh/known2
ssh -F client -O check box 2> /dev/null && ssh -F client -O exit box 2> /dev/null
! ssh -F client -o ControlPath=none -o IdentityFile=/tmp/ssh/host -o BatchMode=yes box true 2> /dev/null
kill $server; wait $server || true`,
  },
  {
    phase: 'egress (Squid)',
    what: 'lets Squid hand on what it may and refuse the rest, re-read its rules and stop',
    script: `mkdir -p /tmp/web /tmp/squid && cd /tmp/squid && echo page > /tmp/web/index.html
python3 -m http.server --bind 127.0.0.1 --directory /tmp/web 8080 2> /dev/null & web=$!
cat > squid.conf <<C
http_port 127.0.0.1:3128
acl near dst 127.0.0.1
acl named dstdomain -n localhost .example.invalid
acl CONNECT method CONNECT
http_access allow near
http_access allow named
http_access deny all
cache deny all
cache_mem 8 MB
pid_filename /tmp/squid/pid
coredump_dir /tmp/squid
access_log stdio:/tmp/squid/access
cache_log /tmp/squid/log
pinger_enable off
shutdown_lifetime 1 second
dns_nameservers 127.0.0.1
visible_hostname egress
C
squid -N -f squid.conf & squid=$!
through() { curl -s -o /dev/null -w '%{http_code}' --max-time 5 -x http://127.0.0.1:3128 "$@"; }
for i in 1 2 3 4 5 6 7 8 9 10; do [ "$(through http://127.0.0.1:8080/)" = 200 ] && break; sleep 0.5; done
[ "$(through http://127.0.0.1:8080/)" = 200 ]
[ "$(through -p http://127.0.0.1:8080/)" = 200 ]
[ "$(through http://192.0.2.1/)" = 403 ]
through http://a.example.invalid/ > /dev/null || true
squid -k rotate -f squid.conf; sleep 0.3; squid -k reconfigure -f squid.conf; sleep 0.7
[ "$(through http://127.0.0.1:8080/)" = 200 ]
kill $squid; wait $squid || true
kill $web; wait $web || true`,
  },
  {
    phase: 'ingress (HAProxy)',
    what: 'lets HAProxy hand on connections, take a new configuration and stop',
    script: `mkdir -p /tmp/web /tmp/haproxy && cd /tmp/haproxy && echo page > /tmp/web/index.html
python3 -m http.server --bind 127.0.0.1 --directory /tmp/web 8080 2> /dev/null & web=$!
cat > haproxy.cfg <<C
global
  log stdout format raw local0
  maxconn 256
defaults
  mode tcp
  log global
  timeout connect 5s
  timeout client 1h
  timeout server 1h
resolvers docker
  parse-resolv-conf
frontend in
  bind 0.0.0.0:18789
  default_backend out
backend out
  server gateway localhost:8080 check inter 1s resolvers docker init-addr last,libc,none
C
haproxy -W -db -f haproxy.cfg > log 2>&1 & proxy=$!
for i in 1 2 3 4 5 6 7 8 9 10; do curl -sf -o /dev/null http://127.0.0.1:18789/ && break; sleep 0.5; done
curl -sf -o /dev/null http://127.0.0.1:18789/
kill -USR2 $proxy; sleep 1.5
curl -sf -o /dev/null http://127.0.0.1:18789/
kill $proxy; wait $proxy || true
kill $web; wait $web || true
haproxy -db -f haproxy.cfg > log 2>&1 & proxy=$!; sleep 1; kill -USR1 $proxy; wait $proxy || true`,
  },
]

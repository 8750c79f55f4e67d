package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// ports of one cluster, all on loopback.
type ports struct {
	etcdClient, etcdPeer, apiServer int
}

// Ports are taken from below the range that systems hand to outgoing connections (32768 on Linux),
// so that none is lost between the moment it was found free and the moment it is listened on.
const (
	lowestPort  = 20_000
	highestPort = 32_767
)

// freePorts picks at random: clusters that start side by side hardly ever meet.
func freePorts() (ports, error) {
	var picked ports
	taken := map[int]bool{}
	for _, port := range []*int{&picked.etcdClient, &picked.etcdPeer, &picked.apiServer} {
		free, err := freePort(taken)
		if err != nil {
			return ports{}, err
		}
		taken[free] = true
		*port = free
	}
	return picked, nil
}

func freePort(taken map[int]bool) (int, error) {
	var last error = errors.New("no attempt was made")
	for range 100 {
		port := lowestPort + rand.IntN(highestPort-lowestPort+1)
		if taken[port] {
			continue
		}
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			last = err
			continue
		}
		return port, listener.Close()
	}
	return 0, fmt.Errorf("found no free port on 127.0.0.1 between %d and %d: %w", lowestPort, highestPort, last)
}

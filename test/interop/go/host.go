package main

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

// seedReader yields a little-endian number and then zeros, as test peers derive their keys.
type seedReader struct{ seed uint32 }

func (r seedReader) Read(p []byte) (int, error) {
	var buf [32]byte
	binary.LittleEndian.PutUint32(buf[:], r.seed)
	return copy(p, buf[:]), nil
}

// newHost makes a host with TCP, Noise and Yamux. seed < 0 draws a random identity.
func newHost(listen []string, seed int64) (host.Host, error) {
	var (
		key crypto.PrivKey
		err error
	)
	if seed < 0 {
		key, _, err = crypto.GenerateEd25519Key(rand.Reader)
	} else {
		key, _, err = crypto.GenerateEd25519Key(seedReader{uint32(seed)})
	}
	if err != nil {
		return nil, err
	}
	opts := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.NoTransports,
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.DisableRelay(),
	}
	if len(listen) == 0 {
		opts = append(opts, libp2p.NoListenAddrs)
	} else {
		opts = append(opts, libp2p.ListenAddrStrings(listen...))
	}
	return libp2p.New(opts...)
}

func addrInfos(addrs []string) ([]peer.AddrInfo, error) {
	var infos []peer.AddrInfo
	for _, a := range addrs {
		info, err := peer.AddrInfoFromString(a)
		if err != nil {
			return nil, err
		}
		infos = append(infos, *info)
	}
	return infos, nil
}

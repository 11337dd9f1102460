# A conversation in Ruby, which has no AF_VSOCK either, with IO's own buffers and select.
require "socket"

role, cid, port = ARGV[0], ARGV[1].to_i, ARGV[2].to_i
name = [40, 0, port, cid, 0].pack("SSLLCx3")  # sockaddr_vm: family, -, port, CID, flags
sock = Socket.new(40, Socket::SOCK_STREAM, 0)

if role == "listen"
  sock.bind(name)
  sock.listen(5)
  client, _ = sock.accept
  client.each_line { |line| client.write(line.chomp.reverse, "\n") }
  client.close
else
  sock.connect(name)
  _, _, peer_port, peer_cid = sock.getpeername.unpack("SSLL")
  puts "#{peer_cid}:#{peer_port}"
  begin
    sock.read_nonblock(1)
  rescue IO::WaitReadable
    puts "nothing yet"
  end
  sock.puts "stressed"
  IO.select([sock], nil, nil, 60) or abort "no answer"
  puts sock.gets
  sock.write("x" * 1_000_000 + "\n")
  sock.close_write
  puts sock.read.bytesize
end

-- Note what became of gates and lines; see the function.
select penstock.note_gates(
  %(gates)s, %(paid_until)s, %(names)s, %(queues)s, %(before)s, %(dues)s, %(idle)s, %(ended)s, %(now)s::float8)

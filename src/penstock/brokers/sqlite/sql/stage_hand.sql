-- Hand results to those of a stage's jobs that take some. In: the stage, the bytes.
update penstock_job set payload = cast(payload || ?2 as blob) where batch = ?1 and substr(payload, 1, 1) = x'83'

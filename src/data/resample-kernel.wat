;; Both passes of resample.ts over one row: four 32-bit lanes at a time, weights in 22-bit fixed point.
;;
;; A record of taps is [first input pixel, number of them (at least 1), a weight for each], 32 bits each.
;; Sums wrap; narrowing with saturation is the clamp to 8 bits.
(module
  (memory (export "memory") 1)

  ;; Along x: a row of pixels of 3 bytes at $row to $columns pixels of 4 bytes at $out, the fourth byte without meaning.
  ;; Records begin at $taps, $stride bytes apart. Reads one byte beyond the row.
  (func (export "across")
    (param $row i32) (param $taps i32) (param $stride i32) (param $columns i32) (param $out i32)
    (local $end i32) (local $pixel i32) (local $weight i32) (local $last i32) (local $sum v128)
    (local.set $end (i32.add (local.get $out) (i32.shl (local.get $columns) (i32.const 2))))
    (loop $column
      (local.set $pixel
        (i32.add (local.get $row) (i32.mul (i32.load (local.get $taps)) (i32.const 3))))
      (local.set $weight (i32.add (local.get $taps) (i32.const 8)))
      (local.set $last
        (i32.add (local.get $weight) (i32.shl (i32.load offset=4 (local.get $taps)) (i32.const 2))))
      (local.set $sum (v128.const i32x4 0x200000 0x200000 0x200000 0x200000)) ;; one half
      (loop $tap
        (local.set $sum
          (i32x4.add
            (local.get $sum)
            (i32x4.mul
              (i32x4.extend_low_i16x8_u
                (i16x8.extend_low_i8x16_u (v128.load32_zero (local.get $pixel))))
              (v128.load32_splat (local.get $weight)))))
        (local.set $pixel (i32.add (local.get $pixel) (i32.const 3)))
        (local.set $weight (i32.add (local.get $weight) (i32.const 4)))
        (br_if $tap (i32.lt_u (local.get $weight) (local.get $last))))
      (local.set $sum (i32x4.shr_s (local.get $sum) (i32.const 22)))
      (local.set $sum (i16x8.narrow_i32x4_s (local.get $sum) (local.get $sum)))
      (v128.store32_lane 0 (local.get $out) (i8x16.narrow_i16x8_u (local.get $sum) (local.get $sum)))
      (local.set $taps (i32.add (local.get $taps) (local.get $stride)))
      (local.set $out (i32.add (local.get $out) (i32.const 4)))
      (br_if $column (i32.lt_u (local.get $out) (local.get $end)))))

  ;; Along y: rows of $columns pixels of 4 bytes, of which $rows is the first of the image, by the record at $taps to a
  ;; row of each of three planes, at $out and $plane bytes apart. Works on four columns at a time, so that it reads and
  ;; writes up to three pixels too many.
  (func (export "down")
    (param $rows i32) (param $columns i32) (param $taps i32) (param $out i32) (param $plane i32)
    (local $end i32) (local $stride i32) (local $pixel i32) (local $weight i32) (local $last i32)
    (local $bytes v128) (local $words v128) (local $factor v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $stride (i32.shl (local.get $columns) (i32.const 2)))
    (local.set $end (i32.add (local.get $out) (local.get $columns)))
    (local.set $rows
      (i32.add (local.get $rows) (i32.mul (i32.load (local.get $taps)) (local.get $stride))))
    (local.set $last
      (i32.add (local.get $taps)
        (i32.shl (i32.add (i32.load offset=4 (local.get $taps)) (i32.const 2)) (i32.const 2))))
    (loop $columns
      (local.set $pixel (local.get $rows))
      (local.set $weight (i32.add (local.get $taps) (i32.const 8)))
      (local.set $a (v128.const i32x4 0x200000 0x200000 0x200000 0x200000))
      (local.set $b (local.get $a))
      (local.set $c (local.get $a))
      (local.set $d (local.get $a))
      (loop $tap
        (local.set $factor (v128.load32_splat (local.get $weight)))
        (local.set $bytes (v128.load (local.get $pixel)))
        (local.set $words (i16x8.extend_low_i8x16_u (local.get $bytes)))
        (local.set $a (i32x4.add (local.get $a)
          (i32x4.mul (i32x4.extend_low_i16x8_u (local.get $words)) (local.get $factor))))
        (local.set $b (i32x4.add (local.get $b)
          (i32x4.mul (i32x4.extend_high_i16x8_u (local.get $words)) (local.get $factor))))
        (local.set $words (i16x8.extend_high_i8x16_u (local.get $bytes)))
        (local.set $c (i32x4.add (local.get $c)
          (i32x4.mul (i32x4.extend_low_i16x8_u (local.get $words)) (local.get $factor))))
        (local.set $d (i32x4.add (local.get $d)
          (i32x4.mul (i32x4.extend_high_i16x8_u (local.get $words)) (local.get $factor))))
        (local.set $pixel (i32.add (local.get $pixel) (local.get $stride)))
        (local.set $weight (i32.add (local.get $weight) (i32.const 4)))
        (br_if $tap (i32.lt_u (local.get $weight) (local.get $last))))
      (local.set $bytes
        (i8x16.narrow_i16x8_u
          (i16x8.narrow_i32x4_s
            (i32x4.shr_s (local.get $a) (i32.const 22)) (i32x4.shr_s (local.get $b) (i32.const 22)))
          (i16x8.narrow_i32x4_s
            (i32x4.shr_s (local.get $c) (i32.const 22)) (i32x4.shr_s (local.get $d) (i32.const 22)))))
      ;; Four pixels to four bytes of each plane.
      (local.set $bytes
        (i8x16.shuffle 0 4 8 12 1 5 9 13 2 6 10 14 3 7 11 15 (local.get $bytes) (local.get $bytes)))
      (v128.store32_lane 0 (local.get $out) (local.get $bytes))
      (v128.store32_lane 1 (i32.add (local.get $out) (local.get $plane)) (local.get $bytes))
      (v128.store32_lane 2
        (i32.add (local.get $out) (i32.shl (local.get $plane) (i32.const 1))) (local.get $bytes))
      (local.set $rows (i32.add (local.get $rows) (i32.const 16)))
      (local.set $out (i32.add (local.get $out) (i32.const 4)))
      (br_if $columns (i32.lt_u (local.get $out) (local.get $end))))))
